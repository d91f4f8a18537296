"""One direction of a joined WebSocket: what one peer sends, on its way to the other, and what the copy says of it."""

import asyncio
import time
from collections import deque
from typing import Protocol

from gateway.proxy.limits import Limits
from gateway.proxy.websocket_copy import MOST_FRAMES, Copy, Message
from gateway.proxy.websocket_frames import CLOSE, PING, PONG, FrameCutter, Piece


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
        self.waiting: deque[Piece] = deque()
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
        return self._cutter.between_frames

    @property
    def between_messages(self) -> bool:
        return self._cutter.between_frames and not self._cutter.in_message

    @property
    def unfinished(self) -> int:
        return len(self._cutter.unfinished)

    def pieces(self, data: bytes) -> list[Piece]:
        """What these bytes are, as far as it is understood; `settled` is to be called once they were fed."""
        if not self.copy.lost:
            return self._cutter.feed(data)
        if not self._from_client:
            self._tunnel.talk.not_understood(len(data))
        elif self._cutter.broken:
            self._tunnel.unread(data, 0)
        elif self._cut_on <= 0:
            self._tunnel.unread(b"", len(data))
        else:
            self._tunnel.unread(self._cut(data), 0)
        return []

    def _cut(self, data: bytes) -> bytes:
        pieces = self._cutter.feed(data)
        self._cut_on -= len(pieces)
        said = b"".join(map(_said, pieces))
        return said + self._cutter.unfinished if self._cutter.broken else said

    def settled(self) -> None:
        """No frame begins like what is left: the copy is lost behind what was fed."""
        if self._cutter.broken and not self.copy.lost:
            self.copy.lost = "broken_frame"
            if self._from_client:
                self._tunnel.unread(self.copy.so_far().data + self._cutter.unfinished, 0)
            else:
                self._tunnel.talk.not_understood(1)

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
