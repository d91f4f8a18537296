"""An incremental decoder of `application/vnd.amazon.eventstream`: bytes in, whole frames out. No I/O.

A frame whose checksum or headers are wrong comes out as `CORRUPT`, its bytes kept, and never raises; decoding goes on
behind it, at its own end where its prelude can be trusted, else where the next sound prelude begins. Like the SSE
decoder it drops nothing: the raw bytes of all frames are the bytes fed.

Source of the format: Smithy, "Amazon Event Stream Specification"; limits as botocore 1.44 has them.
"""

import re
from collections.abc import Callable, Mapping
from struct import Struct, error
from typing import NamedTuple
from zlib import crc32

import msgspec

CORRUPT = ":corrupt"
"""The name of what is no sound frame. No event's own name: those are words."""
HEADERS_MAX = 128 * 1024
PAYLOAD_MAX = 24 * 1024 * 1024
SEARCH_MAX = 256 * 1024
"""Bytes of a stream that are searched for a new beginning: about 0.1 s of work, whoever made them."""

HeaderValue = bool | int | bytes | str
"""A timestamp is its milliseconds since 1970, a UUID its 16 bytes."""

_PRELUDE = Struct(">III")
_CRC = Struct(">I")
_LEAST = _PRELUDE.size + _CRC.size
_MAY_BEGIN = re.compile(rb"(?=[\x00\x01][\s\S]{3}\x00[\x00-\x02][\s\S]{6})")
"""Where lengths within the limits could stand: four of five places in random bytes need no checksum."""


class EventStreamEvent(NamedTuple):
    event: str
    """`:event-type`; of an exception its `:exception-type`, of an error its `:error-code`; or `CORRUPT`."""
    data: bytes
    """The payload; of an error without one its message as JSON; of a corrupt frame all there is."""
    raw: bytes
    headers: Mapping[str, HeaderValue] = {}

    @property
    def corrupt(self) -> bool:
        return self.event == CORRUPT


class EventStreamDecoder:
    """Holds one unfinished frame, or what is being searched; whoever feeds it bounds how long that may grow."""

    __slots__ = ("_lost", "_rest", "_searched", "corrupt")

    def __init__(self) -> None:
        self.corrupt = 0
        """Frames, or stretches between sound ones, that could not be understood."""
        self._rest = bytearray()
        self._lost = 0
        """Bytes at the beginning of `_rest` that cannot begin a frame; 0 where all is well."""
        self._searched = 0

    def feed(self, data: bytes) -> list[EventStreamEvent]:
        """The frames that these bytes complete. Cut anywhere."""
        self._rest += data
        events: list[EventStreamEvent] = []
        while (event := self._next()) is not None:
            events.append(event)
        return events

    def end(self) -> EventStreamEvent | None:
        """What is left when the stream is over: half a frame, or what no sound frame came behind."""
        return self._corrupt(len(self._rest)) if self._rest else None

    def _next(self) -> EventStreamEvent | None:
        if self._lost:
            return self._found()
        if len(self._rest) < _PRELUDE.size:
            return None
        total = _total_at(self._rest, 0)
        if not total:
            self._lost = 1
            return self._found()
        if len(self._rest) < total:
            return None
        frame = bytes(self._rest[:total])
        try:
            event = _event(frame)
        except (ValueError, error):
            return self._corrupt(total)
        del self._rest[:total]
        return event

    def _found(self) -> EventStreamEvent | None:
        """What was lost, once the next prelude is found behind it."""
        at = self._found_at()
        if not at:
            self._lost = max(self._lost, len(self._rest) - _PRELUDE.size + 1)
            return None
        self._searched += at
        return self._corrupt(at)

    def _found_at(self) -> int:
        """Apart, because a buffer that an iterator looks at cannot be cut."""
        for match in _MAY_BEGIN.finditer(self._rest, self._lost):
            at = match.start()
            if self._searched + at > SEARCH_MAX:
                break
            if _total_at(self._rest, at):
                return at
        return 0

    def _corrupt(self, size: int) -> EventStreamEvent:
        raw = bytes(self._rest[:size])
        del self._rest[:size]
        self._lost = 0
        self.corrupt += 1
        return EventStreamEvent(CORRUPT, raw, raw)


def encoded(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A frame with these headers, all of them strings."""
    block = b"".join(_string_header(name.encode(), value.encode()) for name, value in headers.items())
    lengths = Struct(">II").pack(_LEAST + len(block) + len(payload), len(block))
    frame = lengths + _CRC.pack(crc32(lengths)) + block + payload
    return frame + _CRC.pack(crc32(frame))


def reframed(frame: bytes, payload: bytes) -> bytes:
    """A sound frame with another payload."""
    headers = _PRELUDE.unpack_from(frame)[1]
    block = frame[_PRELUDE.size : _PRELUDE.size + headers]
    lengths = Struct(">II").pack(_LEAST + headers + len(payload), headers)
    changed = lengths + _CRC.pack(crc32(lengths)) + block + payload
    return changed + _CRC.pack(crc32(changed))


def _string_header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + b"\x07" + len(value).to_bytes(2, "big") + value


def _total_at(data: bytearray, at: int) -> int:
    """The length of the frame that begins there; 0 where its prelude is not sound."""
    total, headers, checksum = _PRELUDE.unpack_from(data, at)
    payload = total - headers - _LEAST
    if not 0 <= payload <= PAYLOAD_MAX or headers > HEADERS_MAX or crc32(data[at : at + 8]) != checksum:
        return 0
    return int(total)


def _event(frame: bytes) -> EventStreamEvent:
    """The event of a whole frame. Raises ValueError or struct.error for one that is not sound."""
    (checksum,) = _CRC.unpack_from(frame, len(frame) - _CRC.size)
    if crc32(frame[: -_CRC.size]) != checksum:
        raise ValueError("checksum")
    end = _PRELUDE.size + _PRELUDE.unpack_from(frame)[1]
    headers = _headers(frame[_PRELUDE.size : end])
    payload = frame[end : -_CRC.size]
    match headers.get(":message-type"):
        case "exception":
            name = headers.get(":exception-type")
        case "error":
            name = headers.get(":error-code")
            payload = payload or msgspec.json.encode({"message": str(headers.get(":error-message", ""))})
        case _:
            name = headers.get(":event-type")
    return EventStreamEvent(name if isinstance(name, str) and name != CORRUPT else "", payload, frame, headers)


def _headers(block: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    while at < len(block):
        begin = at + 1
        kind_at = begin + block[at]
        if kind_at >= len(block):
            raise ValueError("a header is cut")
        name = block[begin:kind_at].decode()
        if name in headers:
            raise ValueError("a header is repeated")
        kind = block[kind_at]
        if kind >= len(_READERS):
            raise ValueError("a header of an unknown type")
        headers[name], at = _READERS[kind](block, kind_at + 1)
    return headers


_Read = tuple[HeaderValue, int]
"""A header's value, and where the next header begins."""


def _number(layout: str) -> Callable[[bytes, int], _Read]:
    struct = Struct(layout)
    return lambda block, at: (struct.unpack_from(block, at)[0], at + struct.size)


def _bytes(block: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + int.from_bytes(block[at : at + 2], "big")
    if at + 2 > len(block) or end > len(block):
        raise ValueError("a header's value is cut")
    return block[at + 2 : end], end


def _text(block: bytes, at: int) -> _Read:
    value, end = _bytes(block, at)
    return value.decode(), end


def _uuid(block: bytes, at: int) -> _Read:
    if at + 16 > len(block):
        raise ValueError("a header's value is cut")
    return block[at : at + 16], at + 16


_READERS: tuple[Callable[[bytes, int], _Read], ...] = (
    lambda _, at: (True, at),
    lambda _, at: (False, at),
    _number(">b"),
    _number(">h"),
    _number(">i"),
    _number(">q"),
    _bytes,
    _text,
    _number(">q"),
    _uuid,
)
"""By the type's number."""
