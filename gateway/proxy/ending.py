"""How an exchange ends: answered in the upstream's place, failed, finished or left; exactly once, with the truth."""

import asyncio
import time
from typing import Protocol

from gateway.model.exchange import End, Exchange, Refusal
from gateway.proxy.handler import Handler, RequestHead, Talk
from gateway.proxy.refusals import refusal_answer, unavailable
from gateway.proxy.upstream import UpstreamConnection


class Client(Protocol):
    """The client's connection, as the relay sees it."""

    closing: bool
    blocked: bool
    """It takes nothing at the moment."""

    def write(self, data: bytes) -> None: ...

    def hold(self, held: bool) -> None:
        """Stop or go on reading the request's body."""

    def finished(self, keep_alive: bool) -> None:
        """The answer is written, whole; the next request may come if `keep_alive`."""

    def cut(self) -> None:
        """The answer broke off: close so that the client can tell."""

    def join(self, upstream: asyncio.Transport, talk: Talk, extensions: bytes, rest: bytes) -> None:
        """The answer was 101: the connection becomes one end of a tunnel, `upstream` the other, whose first bytes are
        `rest`; `extensions` are those of the WebSocket."""


class Ending:
    """An exchange's state, as far as its end depends on it, and the ways to end it. `Relay` brings it that far."""

    __slots__ = (
        "_body_complete",
        "_client",
        "_decided_ns",
        "_handler",
        "_head_sent",
        "_keep_alive",
        "_out",
        "_task",
        "_upstream",
        "done",
        "exchange",
        "head",
    )

    # Set by `Relay`, not in an `__init__` of their own: that would be one more call for every request.
    head: RequestHead
    exchange: Exchange
    done: bool
    _client: Client
    _handler: Handler
    _keep_alive: bool
    _body_complete: bool
    _decided_ns: int
    _head_sent: bool
    _out: list[bytes]
    """For the client, not written yet."""
    _task: asyncio.Task[None] | None
    _upstream: UpstreamConnection | None

    def refuse(self, refusal: Refusal) -> None:
        """Answer in the upstream's place."""
        exchange = self.exchange
        exchange.refusal = refusal
        if not self._head_sent:
            self._out.clear()  # interim answers that are still here must not come behind the final one
        if self._head_sent:
            self._end("refused", refusal.code)
            self._client.cut()
            return
        if self._decided_ns:
            exchange.overhead_ns = time.perf_counter_ns() - self._decided_ns
        exchange.status = refusal.status
        keep_alive = self._keep_alive and self._body_complete and self.head.http_minor == 1
        answer = refusal_answer(self._handler, exchange, refusal, keep_alive, self.head.method == "HEAD")
        self._head_sent = True
        self._end("blocked" if refusal.code == "blocked_by_policy" else "refused", refusal.code)
        self._client.write(answer)
        self._client.finished(keep_alive)

    def _fail(self, end: End, error_type: str, detail: str = "") -> None:
        """The upstream let us down: say so if nothing was said yet, else break off visibly."""
        if self.done:
            return
        if not self._head_sent:
            self._out.clear()  # as above
            exchange = self.exchange
            refusal = unavailable(end, error_type, exchange.provider, detail)
            exchange.refusal = refusal
            exchange.status = refusal.status
            keep_alive = self._keep_alive and self._body_complete and self.head.http_minor == 1
            answer = refusal_answer(self._handler, exchange, refusal, keep_alive, self.head.method == "HEAD")
            self._end(end, error_type)
            self._client.write(answer)
            self._client.finished(keep_alive)
        else:
            if self._out:
                self._client.write(b"".join(self._out))
                self._out.clear()
            self._end(end, error_type)
            self._client.cut()

    def _end(self, end: End, error_type: str | None) -> None:
        if self.done:
            return
        self.done = True
        exchange = self.exchange
        exchange.ended_ns = time.perf_counter_ns()
        exchange.end = end
        exchange.error_type = error_type
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = None
        self._handler.end(exchange)
