"""A WebSocket's two connections joined: bytes pass as they come, a copy of them is understood. Knows no API.

Where an inline agent must read (`Talk.held`), a client's message goes upstream once it was asked about, its frames as
they came; everything else passes without a look.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from gateway.model.exchange import End, Exchange
from gateway.proxy.handler import Talk
from gateway.proxy.websocket_copy import Message
from gateway.proxy.websocket_frames import TEXT, close_frame, frame
from gateway.proxy.websocket_hold import A_MESSAGE, PIECES_A_TURN, Holding, Then
from gateway.proxy.websocket_way import Way

if TYPE_CHECKING:
    from gateway.proxy.server import ProxyServer

Said = Callable[[bytes, bool, bool], Exchange | None]

_log = structlog.get_logger("gateway.proxy")
PIECES_AT_THE_END = 8 * PIECES_A_TURN
SAID_WAITING = 64
"""Refusals that wait for the end of an upstream's message before the client is read no further."""
_GOING_AWAY, _PROTOCOL_ERROR = 1001, 1002


class Tunnel:
    """Takes both transports over; whatever ends one of them ends both."""

    def __init__(
        self,
        server: "ProxyServer",
        client: asyncio.Transport,
        upstream: asyncio.Transport,
        talk: Talk,
        extensions: bytes,
    ) -> None:
        self.talk = talk
        self.limits = server.limits
        self._server = server
        self._up = Way(self, client, upstream, extensions, from_client=True)
        self._down = Way(self, upstream, client, extensions, from_client=False)
        self._up.opposite, self._down.opposite = self._down, self._up
        self._up.answered = talk.held
        self._said: deque[bytes] = deque()
        """Frames of the gateway's own for the client, which wait for the end of the upstream's message."""
        self._holding = Holding(self, self._up) if talk.held else None
        self._moved = server.pool.now
        self._closing_since = 0.0
        self._lost = 0
        self._over = False

    def begin(self, early: bytes, rest: bytes) -> None:
        """`early`: what the client sent before it had the answer; `rest`: what the upstream sent right behind it."""
        server = self._server
        server.connections.add(self)
        server.tunnels.add(self)
        up, down = self._up, self._down
        up.source.set_protocol(up)
        down.source.set_protocol(down)
        if early:
            up.data_received(early)
        if rest:
            down.data_received(rest)
        if server.draining:
            self.drain()
        up.go_on("joining")
        down.go_on("joining")

    @property
    def busy(self) -> bool:
        return not self._over and self.talk.busy

    # From the two ways

    def from_client(self, data: bytes) -> None:
        self._moved = self._server.pool.now
        if self._over:
            return
        if self._holding is not None:
            self._holding.take(data)
        else:
            self._up.sink.write(data)
            self._understand(self._up, data)

    def from_upstream(self, data: bytes) -> None:
        self._moved = self._server.pool.now
        if self._over:
            return
        way = self._down
        if self._said and not way.more:
            self._write_between(data)
        else:
            way.sink.write(data)
            self._understand(way, data)
        if self._server.draining and not self.talk.busy:
            self.drain()

    def _understand(self, way: Way, data: bytes) -> None:
        """What has been written is looked at; nothing that goes wrong here may reach the bytes behind it."""
        begun = way.more
        try:
            way.take(data)
            if not begun:
                self._go_through(way, PIECES_A_TURN)
        except Exception as error:  # the boundary: a bug of ours costs the copy, not the connection
            self._failed(way, error, len(data))

    def _go_through(self, way: Way, count: int) -> None:
        said: Said = self.talk.client_said if way is self._up else self.talk.upstream_said
        while count > 0 and (piece := way.next()) is not None:
            message = way.feed(piece)
            count -= 1
            if message is not None:
                count -= A_MESSAGE
                self._hear(message, said)
        if not way.more:
            way.settled()
        elif not self._over:
            way.hold("understanding")
            asyncio.get_running_loop().call_soon(self._go_on, way)

    def _go_on(self, way: Way) -> None:
        """With what was too much for one turn of the loop."""
        if self._over:
            return
        try:
            self._go_through(way, PIECES_A_TURN)
        except Exception as error:  # as in `_understand`
            self._failed(way, error, 1)
        if not way.more:
            way.go_on("understanding")
            if self._said:
                self._say()

    def _failed(self, way: Way, error: Exception, size: int) -> None:
        self._server.pool.failures["websocket"] += 1
        _log.error("understanding a WebSocket failed", error=type(error).__name__)
        way.copy.lost = "internal_error"
        way.drop()
        self.talk.not_understood(size)

    def _hear(self, message: Message, said: Said) -> None:
        exchange = said(*message)
        if exchange is not None:
            self.ask(exchange, self.talk.sent)

    def unread(self, said: bytes, missing: int) -> None:
        if self._holding is not None:
            self._holding.unread(said, missing)
            return
        exchange = self.talk.client_unread(said, missing)
        if exchange is not None:
            self.ask(exchange, self.talk.sent)

    def _write_between(self, data: bytes) -> None:
        """A message of ours may not stand inside one of theirs."""
        way = self._down
        end = self._end_of_message(data)
        if end:
            way.sink.write(data[:end])
            self._write_said()
        way.sink.write(data[end:])
        try:
            self._go_through(way, PIECES_A_TURN)
        except Exception as error:  # as in `_understand`
            self._failed(way, error, len(data))
        if self._said:
            self._say()

    def _end_of_message(self, data: bytes) -> int:
        """How much of this belongs to a message of the upstream's that ends in it; 0: none does, as far as can be seen
        in a turn of the loop."""
        way = self._down
        end = -way.unfinished  # half a header that is written already
        way.take(data)
        seen = 0
        while seen < PIECES_A_TURN and way.more_to_cut:
            pieces = way.cut()
            seen += len(pieces)
            for piece in pieces:
                end += len(piece.raw)
                if piece.ends_message:
                    return end
        return 0

    def say(self, text: bytes) -> None:
        """A text message to the client, now or behind the one that is being sent."""
        self._said.append(frame(TEXT, text))
        self._say()
        if len(self._said) > SAID_WAITING:
            self._up.hold("unsaid")
        if self._said and self._down.copy.lost:  # nobody can tell where it could be said
            self.break_off("upstream_gone", "broken_frame", _GOING_AWAY)

    def _say(self) -> None:
        if self._down.between_messages:
            self._write_said()

    def _write_said(self) -> None:
        held = len(self._said) > SAID_WAITING
        while self._said:
            self._down.sink.write(self._said.popleft())
        if held:
            self._up.go_on("unsaid")

    def ask(self, exchange: Exchange, then: Then) -> None:
        """Let the handler see the exchange; `then` is called with it, at once or when an answer has come."""
        waiting = self._server.handler.ready(exchange)
        if waiting is None:
            then(exchange)
            return
        if self._holding is not None:  # else it is on its way already, and nothing behind it waits either
            self._up.hold("asking")
        task = asyncio.get_running_loop().create_task(
            self._wait(waiting, exchange, then), name=f"exchange {exchange.id}"
        )
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    async def _wait(self, waiting: Awaitable[None], exchange: Exchange, then: Then) -> None:
        try:
            await waiting
        except Exception as error:  # the boundary: the frame must not stay here for ever
            self._server.pool.failures["asking"] += 1
            _log.error("asking about a message failed", exchange=exchange.id, error=type(error).__name__)
            self.break_off("upstream_gone", "internal_error", _GOING_AWAY)
            return
        if not self._over:
            then(exchange)
            self._up.go_on("asking")

    def lost(self, way: Way) -> None:
        """One of the two connections is gone; what was sent to the other still goes out."""
        self._lost += 1
        if self._lost == 2:
            self._server.connections.discard(self)
            self._server.tunnels.discard(self)
            self._server.connection_closed()
        self._end(*self._who_left(way))
        self._close()

    def _who_left(self, way: Way) -> tuple[End, str]:
        """Whoever said so first; a server closes the connection behind a client's close frame (RFC 6455, 7.1.1)."""
        up, down = self._up, self._down
        if up.closed_at and not (down.closed_at and down.closed_at < up.closed_at):
            return "client_gone", f"closed_{up.copy.code}"
        if down.closed_at:
            return "upstream_gone", f"closed_{down.copy.code}"
        return ("client_gone", "client_gone") if way is up else ("upstream_gone", "upstream_closed")

    # Ending

    def break_off(self, end: End, error_type: str, code: int, reason: str = "") -> None:
        """Say goodbye to both, where that can be said, and close."""
        if self._over:
            return
        self._end(end, error_type)
        for way, masked in ((self._down, False), (self._up, True)):
            if way.between_frames and not way.copy.lost:
                way.sink.write(close_frame(code, reason, masked))
        self._close()

    def protocol_error(self, error_type: str) -> None:
        """SECURITY: what cannot be read must not pass by an agent that has to read it; RFC 6455 wants no less."""
        self.break_off("client_gone", error_type, _PROTOCOL_ERROR, "not a WebSocket message that can be read")

    def _end(self, end: End, error_type: str) -> None:
        if not self._over:
            self._over = True
            if self._holding is not None:
                self._holding.stop()
            for way in (self._up, self._down):
                self._understand_rest(way)
            self.talk.ended(end, error_type)

    def _understand_rest(self, way: Way) -> None:
        """Of what has passed; as much as may take the time of a few turns."""
        if not way.more:
            return
        try:
            self._go_through(way, PIECES_AT_THE_END)
        except Exception as error:  # as in `_understand`
            self._failed(way, error, 1)
        missing = way.drop()
        if missing and way is self._up:
            self.unread(b"", missing)
        elif missing:
            self.talk.not_understood(missing)

    def _close(self) -> None:
        self._closing_since = self._closing_since or self._server.pool.now
        self._up.leave()
        self._down.source.close()

    # From the server

    def sweep(self, now: float) -> None:
        if self._closing_since:
            if now - self._closing_since > self.limits.linger_s:
                self._abort()
        elif any(way.blocked_since and now - way.blocked_since > self.limits.write_s for way in (self._up, self._down)):
            self._end(*self._slow())
            self._abort()
        elif now - self._moved > self.limits.websocket_idle_s:
            self.break_off("timeout", "idle_timeout", _GOING_AWAY, "nothing passed for too long")

    def _slow(self) -> tuple[End, str]:
        """A way is blocked where its source does not take what the other sends."""
        return ("client_gone", "client_too_slow") if self._up.blocked_since else ("upstream_gone", "upstream_too_slow")

    def drain(self) -> None:
        """An exchange that runs goes on; the connection ends behind it."""
        if not self.talk.busy:
            self.break_off("shutdown", "shutdown", _GOING_AWAY, "the gateway is stopping")

    def abort(self) -> None:
        self._end("shutdown", "shutdown")
        self._abort()

    def _abort(self) -> None:
        self._up.source.abort()
        self._down.source.abort()
