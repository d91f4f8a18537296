"""Length-prefixed msgpack frames between worker and control plane. Sans-io; refuses frames over a fixed size.

A frame is four bytes of length (big-endian) and one tagged msgpack array. Up: `Hello`, then `Batch`es,
`Trouble`s and what people are asked. Down: `Ack`s and what they decided.
"""

import struct
from collections.abc import Iterator

import msgspec

from gateway.link.records import ExchangeRecord
from gateway.model.review import Decided, Review

PROTOCOL_VERSION = 3
MAX_FRAME_BYTES = 64 * 1024 * 1024
"""A batch is closed at 1 MiB, so this bounds a single exchange: both captured bodies with room to spare."""

_LENGTH = struct.Struct(">I")
_BATCH_HEADER = struct.Struct(">IBBBQBI")
_ARRAY_OF_3, _UINT64, _ARRAY32 = 0x93, 0xCF, 0xDD


class Hello(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """The first frame up."""

    worker: str
    version: int


class Batch(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Finished exchanges. The sequence is the worker's own and grows; a batch sent again keeps its number."""

    sequence: int
    records: tuple[ExchangeRecord, ...]


class Ack(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Everything up to this batch is on disk."""

    sequence: int


class Trouble(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """What the worker does without at the moment; the latest word counts, "" where it is nothing."""

    text: str


class Ask(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """An exchange waits for this review; said again to every control plane as long as it does."""

    review: Review


class Withdraw(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """No exchange waits for it any more."""

    review_id: str


Up = Hello | Batch | Trouble | Ask | Withdraw
Down = Ack | Decided
_encoder = msgspec.msgpack.Encoder()
_read_up: msgspec.msgpack.Decoder[Up] = msgspec.msgpack.Decoder(Up)
_read_down: msgspec.msgpack.Decoder[Down] = msgspec.msgpack.Decoder(Down)


def framed(frame: Up | Down) -> bytes:
    payload = _encoder.encode(frame)
    return _LENGTH.pack(len(payload)) + payload


def read_up(payload: bytes) -> Up:
    """Raises msgspec.MsgspecError (a ValueError) for what is none of them."""
    return _read_up.decode(payload)


def read_down(payload: bytes) -> Down:
    return _read_down.decode(payload)


class BatchBuilder:
    """One `Batch` frame put together record by record, so that a record is encoded once and its size known at once."""

    __slots__ = ("_buffer", "count", "size")

    def __init__(self) -> None:
        self._buffer = bytearray(_BATCH_HEADER.size)
        self.count = 0
        self.size = _BATCH_HEADER.size

    def add(self, record: ExchangeRecord) -> int:
        """Append; returns the bytes it took. What cannot be encoded raises and leaves the batch as it was."""
        before = self.size
        try:
            _encoder.encode_into(record, self._buffer, -1)
        except Exception:
            del self._buffer[before:]
            raise
        self.count += 1
        self.size = len(self._buffer)
        return self.size - before

    def take_back(self, size: int) -> None:
        """Undo the latest `add`, which took `size` bytes."""
        self.size -= size
        self.count -= 1
        del self._buffer[self.size :]

    def finished(self, sequence: int) -> bytes:
        """The frame's bytes. Call once, at the end."""
        length = len(self._buffer) - _LENGTH.size
        _BATCH_HEADER.pack_into(
            self._buffer, 0, length, _ARRAY_OF_3, Batch.__struct_config__.tag, _UINT64, sequence, _ARRAY32, self.count
        )
        return bytes(self._buffer)


class FrameDecoder:
    """Payloads out of a byte stream that is cut anywhere. Raises ValueError once a frame says it is over the limit."""

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._limit = limit
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._pending += data
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            if length > self._limit:
                raise ValueError(f"a frame of {length} bytes is over the limit of {self._limit}")
            end = _LENGTH.size + length
            if len(self._pending) < end:
                return
            payload = bytes(memoryview(self._pending)[_LENGTH.size : end])
            del self._pending[:end]
            yield payload
