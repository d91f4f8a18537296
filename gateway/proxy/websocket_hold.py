"""Keeps a client's message back until somebody said that it may go on. Its frames then leave as they came."""

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol

from gateway.model.exchange import Exchange
from gateway.proxy.handler import Talk
from gateway.proxy.limits import Limits
from gateway.proxy.websocket_copy import Message
from gateway.proxy.websocket_frames import Piece
from gateway.proxy.websocket_way import Way

PIECES_A_TURN = 1024
"""Of frames, in one turn of the loop: as small as can be they take 10 ms."""
A_MESSAGE = 16
"""Pieces that understanding a small message takes as long as."""

Then = Callable[[Exchange], None]


class Asking(Protocol):
    """The tunnel, as far as holding needs it."""

    limits: Limits
    talk: Talk

    def ask(self, exchange: Exchange, then: Then) -> None: ...

    def say(self, text: bytes) -> None: ...

    def protocol_error(self, error_type: str) -> None: ...


class Holding:
    """One message at a time; what comes behind it waits, and the tunnel reads no further while it does."""

    def __init__(self, tunnel: Asking, way: Way) -> None:
        self._tunnel = tunnel
        self._way = way
        self._held = bytearray()
        self._asking = False
        self._working = False
        self._later = False
        """It goes on in the loop's next turn."""
        self._unread: Exchange | None = None
        """What cannot be read, to be asked about as far as it has come; it goes nowhere."""
        self._rest: Literal["hold", "pass", "drop"] = "hold"
        """What becomes of the message's next pieces: one too long to be held was decided upon at its beginning."""

    def take(self, data: bytes) -> None:
        self._way.take(data)
        self._work()

    def _work(self) -> None:
        if self._working:
            return  # whoever is at it goes on with what there is
        self._working = True
        count = 0
        while not self._asking and count < PIECES_A_TURN and (piece := self._way.next()) is not None:
            count += A_MESSAGE if piece.ends_message else 1
            self._next(piece)
        self._working = False
        if self._way.more and not self._asking and not self._later:
            self._later = True
            self._way.hold("working")
            asyncio.get_running_loop().call_soon(self._work_on)
        if not self._way.more and not self._asking:
            self._way.settled()
            if self._way.copy.lost:
                self._give_up()

    def _work_on(self) -> None:
        """With what was too much for one turn of the loop."""
        self._later = False
        self._work()
        if not self._later:
            self._way.go_on("working")

    def stop(self) -> None:
        """The connection is over: nothing that waits goes on."""
        self._way.drop()

    def _next(self, piece: Piece) -> None:
        message = self._way.feed(piece)
        if self._way.copy.lost:
            return
        if piece.control:
            self._way.sink.write(piece.raw)  # a ping may stand between the frames of a message, and is none
        elif self._rest != "hold":
            self._go_by(piece)
        else:
            self._held += piece.raw
            if message is not None:
                self._decide(message)
            elif len(self._held) > self._tunnel.limits.capture:
                self._rest = "pass"
                self._decide(self._way.copy.so_far())

    def _go_by(self, piece: Piece) -> None:
        if self._rest == "pass":
            self._way.sink.write(piece.raw)
        if piece.ends_message:
            self._rest = "hold"

    def unread(self, said: bytes, missing: int) -> None:
        """Of a message that is on its way already somebody has seen what may be kept."""
        if self._rest == "hold":
            self._unread = self._tunnel.talk.client_unread(said, missing) or self._unread

    def _give_up(self) -> None:
        exchange, self._unread = self._unread, None
        if exchange is None:
            self._tunnel.protocol_error(self._way.copy.lost)
        else:
            self._asking = True
            self._tunnel.ask(exchange, self._given_up)

    def _given_up(self, exchange: Exchange) -> None:
        self._asking = False
        if exchange.refusal is not None:
            self._tunnel.say(self._tunnel.talk.refused(exchange))
        self._tunnel.protocol_error(self._way.copy.lost)

    def _decide(self, message: Message) -> None:
        exchange = self._tunnel.talk.client_said(*message)
        if exchange is None:
            self._let_go()
        else:
            self._asking = True
            self._tunnel.ask(exchange, self._decided)

    def _decided(self, exchange: Exchange) -> None:
        self._asking = False
        if exchange.refusal is None:
            self._tunnel.talk.sent(exchange)
            self._let_go()
        else:
            self._held.clear()
            self._rest = "drop" if self._rest == "pass" else "hold"
            self._tunnel.say(self._tunnel.talk.refused(exchange))
        self._work()

    def _let_go(self) -> None:
        held, self._held = self._held, bytearray()
        self._way.sink.write(held)
