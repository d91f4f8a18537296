"""Frames of AWS's event streams, as the built-in model sends them. No I/O; on purpose not the gateway's own encoder."""

import zlib
from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"


def event_frame(kind: str, payload: bytes) -> bytes:
    return _frame({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception_frame(kind: str, payload: bytes) -> bytes:
    return _frame({":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}, payload)


def _frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    block = b"".join(
        bytes((len(name),)) + name.encode() + b"\x07" + _u16(len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = _u32(16 + len(block) + len(payload)) + _u32(len(block))
    message = prelude + _u32(zlib.crc32(prelude)) + block + payload
    return message + _u32(zlib.crc32(message))


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")
