"""One direction of a joined WebSocket: what one peer sends, on its way to the other, and what the copy says of it."""

import asyncio
import time
from collections import deque
from typing import Protocol

from gateway.proxy.limits import Limits
from gateway.proxy.websocket_copy import MOST_FRAMES, Copy, Message
from gateway.proxy.websocket_frames import CLOSE, PING, PONG, FrameCutter, Piece

_CUT = 16 * 1024
"""Bytes at a time: 2,700 frames as small as can be."""


class Talker(Protocol):
    """What understands the copy, as far as a way needs it."""

    def not_understood(self, size: int) -> None: ...


class Between(Protocol):
    """The tunnel, as its ways see it."""

    limits: Limits

    @property
    def talk(self) -> Talker: ...

    def from_client(self, data: bytes) -> None: ...

    def from_upstream(self, data: bytes) -> None: ...

    def unread(self, said: bytes, missing: int) -> None:
        """What a client says and no message could be made of, unmasked; bytes of which not even that is known."""

    def lost(self, way: "Way") -> None: ...


class Way(asyncio.Protocol):
    """The protocol of its source's transport, so that back-pressure of that transport is the other way's."""

    def __init__(
        self,
        tunnel: Between,
        source: asyncio.Transport,
        sink: asyncio.Transport,
        extensions: bytes,
        *,
        from_client: bool,
    ) -> None:
        self.source = source
        self.sink = sink
        self.copy = Copy(from_client, extensions, tunnel.limits.capture, tunnel.limits.body)
        self.closed_at = 0
        """When a close frame passed."""
        self.blocked_since = 0.0
        """Since when the source takes nothing of what the other sends."""
        self._tunnel = tunnel
        self._from_client = from_client
        self._cutter = FrameCutter()
        self._cut_on = MOST_FRAMES
        """Pieces that are still cut where the copy is lost; of what comes behind them only the size is told."""
        self._uncut = b""
        """What came and was not cut into pieces yet."""
        self._waiting: deque[Piece] = deque()
        """Pieces that were not fed yet."""
        self._held: set[str] = set()
        self._leaving = False
        self.opposite = self
        """The way back; the tunnel sets it."""
        self.answered = False
        """What its source says is answered by the gateway itself: it must read that, too."""
        self._take = tunnel.from_client if from_client else tunnel.from_upstream

    @property
    def between_frames(self) -> bool:
        return self._cutter.between_frames and not self._uncut

    @property
    def between_messages(self) -> bool:
        return self.between_frames and not self._cutter.in_message

    @property
    def unfinished(self) -> int:
        return self._cutter.unfinished

    # What it says, piece by piece: `take`, `next` and `feed` each, `settled` where there is nothing `more`

    def take(self, data: bytes) -> None:
        if self.copy.lost and not self._from_client:
            self._tunnel.talk.not_understood(len(data))
        elif self.copy.lost and self._cut_on <= 0:
            self._tunnel.unread(b"", len(data))
        else:
            self._uncut = self._uncut + data if self._uncut else data

    @property
    def more_to_cut(self) -> bool:
        return bool(self._uncut) and not self._cutter.broken

    @property
    def more(self) -> bool:
        return bool(self._waiting) or self.more_to_cut

    def next(self) -> Piece | None:
        while not self._waiting and self.more_to_cut:
            self.cut()
        return self._waiting.popleft() if self._waiting else None

    def cut(self) -> list[Piece]:
        """A little more of what came; its pieces will be the next. All at once may take longer than others can wait."""
        part, self._uncut = self._uncut[:_CUT], self._uncut[_CUT:]
        pieces = self._cutter.feed(part)
        if self.copy.lost:
            self._cut_on -= len(pieces)
        self._waiting.extend(pieces)
        return pieces

    def drop(self) -> int:
        """Bytes of what was not fed: it will not be."""
        size = sum(len(piece.raw) for piece in self._waiting)
        if self._uncut:
            size += self._cutter.unfinished + len(self._uncut)
        self._waiting.clear()
        self._uncut = b""
        return size

    def settled(self) -> None:
        """Where no frame begins like what is left, the copy is lost behind what was fed."""
        if not self._cutter.broken:
            return
        left, self._uncut = self._cutter.left() + self._uncut, b""
        if not self.copy.lost:
            self.copy.lost = "broken_frame"
            left = self.copy.so_far().data + left
        if left and self._from_client:
            self._tunnel.unread(left, 0)
        elif left:
            self._tunnel.talk.not_understood(len(left))

    def feed(self, piece: Piece) -> Message | None:
        """The message that ends with this piece."""
        copy = self.copy
        lost = bool(copy.lost)
        message = copy.feed(piece)
        if copy.lost:
            self._not_fed(piece, first=not lost)
        elif copy.code is not None and not self.closed_at:
            self.closed_at = time.perf_counter_ns()
        return message

    def _not_fed(self, piece: Piece, first: bool) -> None:
        if not self._from_client:
            self._tunnel.talk.not_understood(len(piece.raw))
        elif not first:
            self._tunnel.unread(_said(piece), 0)
        elif self.copy.lost == "broken_frame":
            self._tunnel.unread(self.copy.so_far().data + _said(piece), 0)
        else:  # too long in one way or another: what came of it is known up to there
            self._tunnel.unread(self.copy.so_far().data, 1)

    def leave(self) -> None:
        """Close the source behind what was written to it, but go on reading for a while: closed while it still sends,
        its connection is reset, and what it was told last is lost (RFC 9112, 9.6). Who waits for it ends it."""
        self._leaving = True
        if self.source.is_closing():
            return
        if not self.source.can_write_eof():  # TLS cannot
            self.source.close()
            return
        self.source.write_eof()
        self.source.resume_reading()

    def hold(self, why: str) -> None:
        """Read no further, until each reason is gone."""
        self._held.add(why)
        if not (self._leaving or self.source.is_closing()):
            self.source.pause_reading()

    def go_on(self, why: str) -> None:
        self._held.discard(why)
        if not self._held and not self.source.is_closing():
            self.source.resume_reading()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.lost(self)

    def pause_writing(self) -> None:
        self.blocked_since = asyncio.get_running_loop().time()
        self.opposite.hold("slow")
        if self.answered:
            self.hold("unread")

    def resume_writing(self) -> None:
        self.blocked_since = 0.0
        self.opposite.go_on("slow")
        if self.answered:
            self.go_on("unread")


def _said(piece: Piece) -> bytes:
    return b"" if piece.opcode in (CLOSE, PING, PONG) else piece.said
