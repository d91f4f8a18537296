"""An exchange whose answer has to pass a gate: what the gate has not let go, the client does not get.

A relay of its own, so that no other has a step more for each piece of an answer. Signs and amends like the others.
"""

import asyncio
import time
from collections.abc import Awaitable

import msgspec
import structlog

from gateway.contracts import Gate, Ruling
from gateway.model.exchange import Captured, End, Exchange, Refusal
from gateway.proxy.amended import AmendedRelay, without_length
from gateway.proxy.changed import headers_for, is_sealed, unchangeable
from gateway.proxy.ending import Client
from gateway.proxy.handler import Handler, Plan, RequestHead
from gateway.proxy.refusals import internal
from gateway.proxy.signed import SignedRelay
from gateway.proxy.upstream import NO_BODY_STATUS, Pool, ResponseHead, UpstreamConnection

_log = structlog.get_logger("gateway.proxy")
_LENGTH = b"content-length"


class GatedRelay(SignedRelay, AmendedRelay):
    """Captures what the upstream answered, not what the gate made of it."""

    __slots__ = (
        "_complete",
        "_gate",
        "_heard",
        "_held",
        "_instead",
        "_passing",
        "_piled",
        "_pinging",
        "_ruling",
        "_said",
        "_sent",
    )

    def __init__(
        self, head: RequestHead, plan: Plan, exchange: Exchange, client: Client, handler: Handler, pool: Pool
    ) -> None:
        super().__init__(head, plan, exchange, client, handler, pool)
        assert plan.gate is not None
        self._gate: Gate = plan.gate
        self._instead: bytes | None = None
        """The body to send in place of the client's."""
        self._sent = False
        self._held: ResponseHead | None = None
        """The answer's head, as long as nothing of the answer may go on."""
        self._passing = False
        self._complete = False
        self._said = False
        """Something of the body has gone on."""
        self._heard = False
        """The client was written to since the last ping."""
        self._piled: list[bytes] = []
        """What came while the gate had not ruled: the rest of one read, at most."""
        self._ruling: asyncio.Task[None] | None = None
        self._pinging: asyncio.TimerHandle | None = None

    # On the request's way

    def _decided(self) -> None:
        if not self.done and self.exchange.refusal is None and self._instead is None:
            instead = self._gate.request()
            if isinstance(instead, bytes) and self._plan.sign is None and is_sealed(self._plan.forward):
                instead = unchangeable()
            if isinstance(instead, Refusal):
                self.refuse(instead)
                return
            if instead is not None:
                self._instead = instead
                self._plan.forward = headers_for(instead, self._plan.forward)
        super()._decided()

    def _held_body(self) -> bytes:
        if self._instead is None or self._amended_body is not None:
            return super()._held_body()
        return self._instead

    def _amend(self) -> None:
        if self._plan.amendment is None:
            return
        exchange = self.exchange
        body = exchange.request_body
        if self._instead is not None:  # nothing of what was taken out may come back by an amendment
            exchange.request_body = Captured(len(self._instead))
            exchange.request_body.add(self._instead)
        super()._amend()
        exchange.request_body = body

    def _send(self, connection: UpstreamConnection) -> None:
        super()._send(connection)
        asyncio.get_running_loop().call_soon(self._ask_beside)

    def _ask_beside(self) -> None:
        if self._sent or self.done:
            return
        self._sent = True
        refusal = self._gate.sent()
        if refusal is not None:
            self.refuse(refusal)

    def client_writable(self, writable: bool) -> None:
        if self._ruling is None or not writable:
            super().client_writable(writable)

    # From the upstream's connection

    def on_response(self, response: ResponseHead) -> None:
        self._ask_beside()
        if self.done:
            return
        exchange = self.exchange
        exchange.status = response.status
        exchange.response_headers = response.headers
        exchange.response_header_map = response.header_map
        exchange.response_body = Captured(self._limits.capture)
        self._held = response
        self._passing = self.head.method == "HEAD" or response.status in NO_BODY_STATUS or not self._gate.holds()
        if self._passing:
            self._open(response)
        elif self._gate.events:
            self._ping_later()

    def on_response_data(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange.first_byte_ns == 0:
            exchange.first_byte_ns = time.perf_counter_ns()
        exchange.response_body.add(data)  # type: ignore[union-attr]  # set by on_response
        if self._passing:
            self._let_go(data)
        elif self._ruling is not None:
            self._piled.append(data)
        elif not self.done:
            self._rule(self._gate.feed(data))

    def on_response_end(self) -> None:
        self._complete = True
        if self.done:
            return
        if self._passing:
            super().on_response_end()
            return
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if self._body_complete:
                upstream.release()
            else:
                upstream.abort()  # as in any relay
        if self._ruling is None:
            self._rule(self._gate.end(True), last=True)

    def on_read(self) -> None:
        super().on_read()
        if self._complete or self._ruling is not None:
            self._deadline = None  # nobody waits for the upstream
        elif self.exchange.response_body is not None and not self.done:
            self._expect("idle_timeout", self._limits.idle_s)

    # What the gate says

    def _rule(self, ruling: Ruling, last: bool = False) -> None:
        if ruling.release:
            if self._held is not None:
                self._open(_with_length(self._held, len(ruling.release)) if last else without_length(self._held))
            self._said = True
            self._let_go(ruling.release)
        if ruling.refusal is not None:
            self.refuse(ruling.refusal)
        elif ruling.later is not None:
            self._wait_for(ruling.later, last)
        elif last:
            if self._held is not None:
                self._open(self._held)
            super().on_response_end()

    def _wait_for(self, later: Awaitable[Ruling], last: bool) -> None:
        if self._upstream is not None:
            self._upstream.transport.pause_reading()
        self._deadline = None
        name = f"gate {self.exchange.id}"
        self._ruling = asyncio.get_running_loop().create_task(self._ruled(later, last), name=name)

    async def _ruled(self, later: Awaitable[Ruling], last: bool) -> None:
        try:
            ruling = await later
        except Exception as error:  # the boundary: whatever fails in there must still end the exchange
            self._pool.failures["gate"] += 1
            _log.error("a gate failed", exchange=self.exchange.id, error=type(error).__name__)
            ruling = Ruling(refusal=internal(type(error).__name__))
        self._ruling = None
        if self.done:
            return
        if self._upstream is not None and not self._client.blocked:
            self._upstream.transport.resume_reading()
        self._rule(ruling, last)
        if self._piled and self._ruling is None and not self.done:
            piled, self._piled = b"".join(self._piled), []
            self._rule(self._gate.feed(piled))
        if self._complete and not last and self._ruling is None and not self.done:
            self._rule(self._gate.end(True), last=True)
        if not self.done:
            self.on_read()

    def _open(self, response: ResponseHead) -> None:
        """The answer begins for the client too."""
        self._held = None
        exchange = self.exchange
        headers, fields, body = exchange.response_headers, exchange.response_header_map, exchange.response_body
        super().on_response(response)
        exchange.response_headers, exchange.response_header_map, exchange.response_body = headers, fields, body

    def _let_go(self, data: bytes) -> None:
        self._heard = True
        self._release(data if self._filter is None else self._filter.feed(data))

    # While the client waits

    def _ping_later(self) -> None:
        self._pinging = asyncio.get_running_loop().call_later(self._limits.ping_s, self._ping)

    def _ping(self) -> None:
        """A client gives up on what says nothing; from here on a refusal is an event."""
        if not self._heard:
            if self._held is not None:
                self._open(without_length(self._held))
            self._release(self._gate.ping())
            super().on_read()
        self._heard = False
        self._ping_later()

    # Ends

    def refuse(self, refusal: Refusal) -> None:
        if self.exchange.upstream_started_ns:
            self._decided_ns = 0  # the upstream's time is not what the gateway added
        if not self._head_sent or self._passing or not self._gate.events:
            super().refuse(refusal)
            return
        self.exchange.refusal = refusal
        self._release_rest()
        self._release(self._gate.event(refusal, not self._said))
        if self._chunking:
            self._out.append(b"0\r\n\r\n")
        out, self._out = self._out, []
        self._end("blocked" if refusal.code == "blocked_by_policy" else "refused", refusal.code)
        self._client.write(b"".join(out))
        self._client.finished(self._keep_alive and self._body_complete)

    def _fail(self, end: End, error_type: str, detail: str = "") -> None:
        """What had begun is let go as far as the gate finds nothing in it; of what had not, the client learns why."""
        if self._head_sent and not (self.done or self._passing or self._ruling is not None):
            ruling = self._gate.end(False)
            if ruling.refusal is not None:
                self.refuse(ruling.refusal)
                return
            if ruling.release:
                self._let_go(ruling.release)
        super()._fail(end, error_type, detail)

    def _end(self, end: End, error_type: str | None) -> None:
        if self._pinging is not None:
            self._pinging.cancel()
        if self._ruling is not None and self._ruling is not asyncio.current_task():
            self._ruling.cancel()
        self._ruling = self._pinging = None
        super()._end(end, error_type)


def _with_length(response: ResponseHead, size: int) -> ResponseHead:
    """The length of what goes on, where the upstream had said one."""
    if response.content_length is None or int(response.content_length) == size:
        return response
    length = b"%d" % size
    headers = [(name, length if name.lower() == _LENGTH else value) for name, value in response.headers]
    return msgspec.structs.replace(
        response, headers=headers, header_map=response.header_map | {_LENGTH: length}, content_length=length
    )
