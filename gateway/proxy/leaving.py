"""How a client's connection ends with an answer of the gateway's own, so that the client can still read it."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from gateway.model.exchange import Refusal
from gateway.proxy.handler import Handler, RequestHead
from gateway.proxy.limits import Limits
from gateway.proxy.pipelining import Pending
from gateway.proxy.refusals import refusal_answer, remembered_refusal

if TYPE_CHECKING:
    from gateway.proxy.server import ProxyServer


class Leaving(asyncio.Protocol):
    """A part of `ClientConnection`, which sets the fields."""

    _server: "ProxyServer"
    _handler: Handler
    _limits: Limits
    _transport: asyncio.Transport
    _pending: deque[Pending]
    _lingering: bool
    _weighed: int
    """Bytes of an unfinished body that are counted as this connection's."""
    _dropped: int
    """Bytes that came while it lingered."""
    closing: bool
    deadline: float

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _refuse_bare(self, head: RequestHead | None, refusal: Refusal) -> None:
        """Refuse what must not become a relayed exchange."""
        self.write(remembered_refusal(self._handler, head, refusal))
        self._close_gently(request_read=False)

    def _answer_bare(self, refusal: Refusal) -> None:
        self.write(refusal_answer(self._handler, None, refusal, False, False))
        self._close_gently(request_read=False)

    def _close_gently(self, request_read: bool) -> None:
        """Close behind what was written. Where the client is still sending, first read and drop for a while:
        closing at once would reset the connection and take the answer away with it (RFC 9112, 9.6)."""
        self.closing = True
        self._pending.clear()
        self._forget_unfinished()
        if self._transport.is_closing():
            return
        if request_read:
            self._close()
            return
        self._lingering = True
        if self._transport.can_write_eof():  # TLS cannot; there the answer's length has to do
            self._transport.write_eof()
        self._transport.resume_reading()
        self._expect("linger", self._limits.linger_s)

    def _drop(self, size: int) -> None:
        """So many bytes came behind a refusal."""
        self._dropped += size
        if self._lingering and self._dropped > self._limits.linger and not self._transport.is_closing():
            self._transport.pause_reading()

    def _close(self) -> None:
        """Close once the client has taken what was written, or had its time to."""
        self._lingering = False
        self._transport.close()
        self._expect("write_timeout", self._limits.write_s)

    def _forget_unfinished(self) -> None:
        if self._weighed:
            self._server.unfinished.weigh(self._weighed, 0)
            self._weighed = 0

    def _expect(self, name: str, within_s: float) -> None:
        self.deadline = self._server.pool.now + within_s
