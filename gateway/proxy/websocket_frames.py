"""WebSocket frames as raw bytes: where each begins and ends, and the few that the gateway makes itself. No I/O.

Source: RFC 6455, section 5. Looks at headers only; what a frame says is `websocket_copy`'s business.
"""

import os
from typing import NamedTuple

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_CONTROL = 0x8
_CONTROL_MAX = 125
_LENGTHS = {126: 2, 127: 8}


class Piece(NamedTuple):
    """A run of bytes that belongs to one frame: a control frame is always whole, others may come in pieces."""

    raw: bytes
    opcode: int
    begins: bool
    """The frame's header is in it."""
    ends: bool
    """The frame's last byte is in it."""
    fin: bool
    """The frame is the last one of its message."""
    key: bytes
    """The frame's mask; empty where it has none."""
    at: int
    """Bytes of the frame's payload before these."""

    @property
    def control(self) -> bool:
        return self.opcode >= _CONTROL

    @property
    def said(self) -> bytes:
        """What it brings of the frame's payload, unmasked."""
        header = _header(self.raw, 0) if self.begins else None
        payload = self.raw if header is None else self.raw[header[0] :]
        turn = self.at % 4
        return unmasked(payload, self.key[turn:] + self.key[:turn]) if self.key else payload

    @property
    def ends_message(self) -> bool:
        return self.ends and self.fin and not self.control


class FrameCutter:
    """Cuts one direction into pieces; the raw bytes of all pieces, and what is left, are the bytes fed."""

    __slots__ = ("_at", "_fin", "_key", "_left", "_opcode", "_rest", "broken", "in_message")

    def __init__(self) -> None:
        self._rest = b""
        """A header that is not whole yet, or a control frame that is not."""
        self._left = 0
        self._opcode = 0
        self._fin = True
        self._key = b""
        self._at = 0
        self.in_message = False
        """A message has begun and is not over."""
        self.broken = False
        """No frame can begin like what came last: nothing is cut from there on."""

    @property
    def between_frames(self) -> bool:
        """Whether a control frame could be put in here."""
        return not (self._left or self._rest or self.broken)

    @property
    def unfinished(self) -> int:
        """Bytes that were fed and are in no piece yet."""
        return len(self._rest)

    def left(self) -> bytes:
        """What begins like no frame; forgets it."""
        left, self._rest = self._rest, b""
        return left

    def feed(self, data: bytes) -> list[Piece]:
        if self.broken:
            return []
        if self._rest:
            data, self._rest = self._rest + data, b""
        pieces: list[Piece] = []
        at, end = 0, len(data)
        while at < end:
            if self._left:
                at = self._go_on(data, at, at, False, pieces)
                continue
            header = _header(data, at)
            if header is None:
                break
            size, self._opcode, self._fin, self._left, self._key = header
            self._at = 0
            if self._opcode >= _CONTROL and (self._left > _CONTROL_MAX or not self._fin):
                self.broken = True
                break
            if self._opcode >= _CONTROL and at + size + self._left > end:
                self._left = 0
                break
            at = self._go_on(data, at, at + size, True, pieces)
        self._rest = data[at:]
        return pieces

    def _go_on(self, data: bytes, begin: int, payload: int, begins: bool, pieces: list[Piece]) -> int:
        stop = min(payload + self._left, len(data))
        self._left -= stop - payload
        piece = Piece(data[begin:stop], self._opcode, begins, not self._left, self._fin, self._key, self._at)
        self._at += stop - payload
        pieces.append(piece)
        if not piece.control:
            self.in_message = not piece.ends_message
        return stop


def _header(data: bytes, at: int) -> tuple[int, int, bool, int, bytes] | None:
    """Size of the header, opcode, fin, size of the payload, mask; None where not all of it is there yet."""
    if len(data) < at + 2:
        return None
    opcode, fin = data[at] & 0x0F, data[at] >= 0x80
    length, masked = data[at + 1] & 0x7F, data[at + 1] >= 0x80
    size = 2
    if wide := _LENGTHS.get(length, 0):
        if len(data) < at + 2 + wide:
            return None
        size += wide
        length = int.from_bytes(data[at + 2 : at + size], "big")
    key = b""
    if masked:
        key = data[at + size : at + size + 4]
        size += 4
    return (size, opcode, fin, length, key) if len(data) >= at + size else None


def frame(opcode: int, payload: bytes, masked: bool = False) -> bytes:
    """One whole frame; `masked` as a client sends it."""
    length, mark = len(payload), 0x80 if masked else 0
    if length <= _CONTROL_MAX:
        head = bytes((0x80 | opcode, mark | length))
    elif length < 1 << 16:
        head = bytes((0x80 | opcode, mark | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, mark | 127)) + length.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + unmasked(payload, key)


def close_frame(code: int, reason: str, masked: bool) -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode()[: _CONTROL_MAX - 2], masked)


def close_code(raw: bytes) -> int:
    """The code in a whole close frame, 1005 where it says none (RFC 6455, 7.1.5)."""
    masked = raw[1] >= 0x80
    payload = raw[6:] if masked else raw[2:]
    if len(payload) < 2:
        return 1005
    return int.from_bytes(unmasked(payload[:2], raw[2:6]) if masked else payload[:2], "big")


def unmasked(payload: bytes, key: bytes) -> bytes:
    """Also masks: doing it twice undoes it."""
    whole = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")
