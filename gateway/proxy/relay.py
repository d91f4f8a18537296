"""One exchange on its way: request in, request out, response in, response out."""

import asyncio
import time
from collections.abc import Awaitable

import structlog

from gateway.model.exchange import Captured, Exchange, Headers
from gateway.proxy.connecting import ConnectError
from gateway.proxy.ending import Client, Ending
from gateway.proxy.handler import Handler, Plan, RequestHead
from gateway.proxy.headers import HOP_BY_HOP, by_name, forwardable, lines, request_head, trailer_lines
from gateway.proxy.refusals import internal, too_large
from gateway.proxy.upstream import NO_BODY_STATUS, Pool, ResponseHead, UpstreamConnection

_log = structlog.get_logger("gateway.proxy")
_HOP_BY_HOP_BEFORE_TRAILERS = HOP_BY_HOP - {b"trailer"}
_NOT_OF_INTERIM = HOP_BY_HOP | {b"content-length"}
"""SECURITY: no interim answer has a body (RFC 9110, 8.6); who believed a length would take the answer for it."""


class Relay(Ending):
    """Carries one request from a client to an upstream and the answer back.

    The client's connection calls `body`, `body_end` and `client_gone`; the upstream's connection calls the `on_…`
    methods (`ResponseListener`). Whatever happens first ends the exchange; what comes after is ignored.
    """

    __slots__ = (
        "_chunking",
        "_connect_ns",
        "_deadline",
        "_limits",
        "_overflow",
        "_plan",
        "_pool",
        "_streaming_up",
        "_trailers_down",
        "_trailers_up",
    )

    def __init__(
        self, head: RequestHead, plan: Plan, exchange: Exchange, client: Client, handler: Handler, pool: Pool
    ) -> None:
        self.head = head
        self.exchange = exchange
        self.done = False
        self._plan = plan
        self._client = client
        self._handler = handler
        self._pool = pool
        self._limits = pool.limits
        self._keep_alive = True
        self._body_complete = False
        self._streaming_up = False
        self._trailers_up = self._trailers_down = b""
        self._upstream = None
        self._task = None
        self._head_sent = False
        self._chunking = False
        self._out = []
        self._overflow: list[bytes] = []
        self._deadline: tuple[float, str] | None = None
        self._decided_ns = 0
        self._connect_ns = 0

    # From the client's connection

    def body(self, data: bytes) -> None:
        """The next piece of the request's body."""
        captured = self.exchange.request_body
        kept = captured.kept
        captured.add(data)
        if self.done:
            return
        if captured.size > self._limits.body:
            self.refuse(too_large(self._limits.body))
        elif self._streaming_up:
            self._send_piece(data)
        elif captured.truncated:
            # Too big to hold: it streams through from here on, and whoever assesses it knows that it is not whole.
            # The client is held until the upstream is there, so that this list has at most one read's worth.
            self._overflow.append(data[captured.kept - kept :])
            if self._decided_ns == 0:
                self._decide()

    def body_end(self, keep_alive: bool, trailers: Headers | None = None) -> None:
        """The request is complete."""
        expected, size = self.head.content_length, self.exchange.request_body.size
        if expected is not None and expected != size:
            # SECURITY: a second lock. What is missing would be taken from the next request on a shared connection.
            self._pool.failures["length"] += 1
            _log.error("a request's body is not as long as it said", exchange=self.exchange.id)
            if not self.done:
                self.refuse(internal("length"))
            return
        if trailers is not None:
            self._trailers_up = trailer_lines(trailers, self.head.header_map, self._plan.withheld)
        self._body_complete = True
        self._keep_alive = keep_alive
        if self.done:
            return
        if self._streaming_up:
            self._send_piece(b"")
        elif self._decided_ns == 0:
            self._decide()

    def body_complete_without_body(self, keep_alive: bool) -> None:
        """There is no body to wait for; for refusals that come before the end of the message is seen."""
        self._body_complete = True
        self._keep_alive = keep_alive

    def last_on_connection(self) -> None:
        """Nothing can follow this exchange on its connection: say so in the answer, if it has not begun."""
        self._keep_alive = False

    def client_gone(self, error_type: str = "client_gone") -> None:
        """The client's connection is lost: nobody waits for the answer any more, so upstream is cancelled."""
        self._end("client_gone", error_type)

    def shut_down(self) -> None:
        """The gateway stops and the deadline for running exchanges has passed."""
        self._end("shutdown", "shutdown")

    def client_writable(self, writable: bool) -> None:
        """Back-pressure: a client that does not read stops the upstream."""
        if self._upstream is not None and not self.done:
            if writable:
                self._upstream.transport.resume_reading()
            else:
                self._upstream.transport.pause_reading()

    def overdue(self, now: float) -> None:
        """Called now and then by the sweeper; `now` is the loop's time."""
        if self._deadline is not None and now > self._deadline[0] and not self.done:
            self._fail("timeout", self._deadline[1])

    # Deciding and sending

    def _decide(self) -> None:
        self._decided_ns = time.perf_counter_ns()
        waiting = self._handler.ready(self.exchange)
        if waiting is None:
            self._decided()
        else:
            self._client.hold(True)
            self._start(self._wait(waiting))

    async def _wait(self, waiting: Awaitable[None]) -> None:
        await waiting
        self._task = None
        self._decided()

    def _decided(self) -> None:
        if self.done:
            return
        if self.exchange.refusal is not None:
            self.refuse(self.exchange.refusal)
            return
        assert self._plan.origin is not None
        kept = self._pool.idle(self._plan.origin)
        if kept is not None:
            self._send(kept)
        else:
            self._start(self._connect())

    async def _connect(self) -> None:
        assert self._plan.origin is not None
        if not self._body_complete:
            self._client.hold(True)
        began_ns = time.perf_counter_ns()
        try:
            connection = await self._pool.connect(self._plan.origin)
        except ConnectError as error:
            self._fail(error.end, error.error_type, error.detail)
            return
        finally:
            self._connect_ns += time.perf_counter_ns() - began_ns
            self._task = None
        if self.done:
            connection.release()
        else:
            self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        exchange, plan, head = self.exchange, self._plan, self.head
        payload = self._held_body()
        whole = self._body_complete
        if not head.chunked:
            framing = b""
            # SECURITY: a body without its length would be read as the next request on a shared connection.
            assert not payload or b"content-length" in head.header_map
        elif whole and not self._trailers_up:
            framing = b"Content-Length: %d\r\n" % len(payload)
        else:
            framing = b"Transfer-Encoding: chunked\r\n"
            if b"trailer" in head.header_map:
                framing += b"Trailer: %b\r\n" % head.header_map[b"trailer"]
            payload = chunk(payload)
            if whole:
                payload += b"0\r\n%b\r\n" % self._trailers_up
        if b"te" in head.header_map and head.http_minor == 1 and b"trailers" in head.header_map[b"te"].lower():
            framing += b"TE: trailers\r\nConnection: TE\r\n"  # so do we: RFC 9110, 10.1.4
        self._upstream = connection
        self._streaming_up = not whole
        now_ns = time.perf_counter_ns()
        exchange.upstream_started_ns = now_ns
        exchange.overhead_ns = now_ns - self._decided_ns - self._connect_ns
        self._expect("first_byte_timeout", self._limits.first_byte_s)
        first = request_head(head.method, plan.target, plan.forward, framing)
        connection.send(self, first, payload, head.method == "HEAD")
        if self._client.blocked:  # by the answer before this one; nobody will say so again
            connection.transport.pause_reading()
        if not whole:
            self._client.hold(False)

    def _held_body(self) -> bytes:
        """What has come of the body until now."""
        body = self.exchange.request_body
        if not body.size:
            return b""
        return body.joined() + b"".join(self._overflow) if self._overflow else body.joined()

    def _expect(self, error_type: str, within_s: float) -> None:
        self._deadline = (self._pool.now + within_s, error_type)

    def _send_piece(self, data: bytes) -> None:
        if self._upstream is None:
            return
        if self.head.chunked:
            self._upstream.transport.write(chunk(data) if data else b"0\r\n%b\r\n" % self._trailers_up)
        elif data:
            self._upstream.transport.write(data)

    def _start(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the boundary: whatever fails in here must still end the exchange
                self._task = None
                self._pool.failures["request"] += 1
                _log.error("relaying a request failed", exchange=self.exchange.id, error=type(error).__name__)
                self.refuse(internal(type(error).__name__))

        self._task = asyncio.get_running_loop().create_task(run(), name=f"exchange {self.exchange.id}")

    # From the upstream's connection

    def on_interim(self, status: int, reason: bytes, headers: Headers) -> None:
        if self.head.http_minor == 1 and status != 100:
            passed = forwardable(headers, by_name(headers), _NOT_OF_INTERIM)
            self._out.append(b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, lines(passed)))

    def on_response(self, response: ResponseHead) -> None:
        exchange = self.exchange
        exchange.status = response.status
        exchange.response_headers = response.headers
        exchange.response_header_map = response.header_map
        exchange.response_body = Captured(self._limits.capture)
        self._head_sent = True
        status = response.status
        bodyless = self.head.method == "HEAD" or status in NO_BODY_STATUS
        fields = response.header_map
        dropped = HOP_BY_HOP
        framing = b""
        if not bodyless and response.content_length is None:
            if self.head.http_minor == 1:
                self._chunking = True
                dropped = _HOP_BY_HOP_BEFORE_TRAILERS
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                self._keep_alive = False
        if not self._keep_alive or self.head.http_minor == 0 or not self._body_complete:
            self._keep_alive = False
            framing += b"Connection: close\r\n"
        passed = forwardable(response.headers, fields, dropped)
        self._out.append(
            b"HTTP/1.1 %d %b\r\n%b%b%b\r\n"
            % (status, response.reason, lines(passed), self._handler.response_headers(exchange), framing)
        )

    def on_response_data(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange.first_byte_ns == 0:
            exchange.first_byte_ns = time.perf_counter_ns()
        exchange.response_body.add(data)  # type: ignore[union-attr]  # set by on_response
        if self._chunking:
            self._out.append(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._out.append(data)

    def on_read(self) -> None:
        if self._out:
            out, self._out = self._out, []
            self._client.write(out[0] if len(out) == 1 else b"".join(out))
        if self.done:
            return
        if self._head_sent:
            self._expect("idle_timeout", self._limits.idle_s)
        else:
            self._expect("first_byte_timeout", self._limits.first_byte_s)

    def on_trailers(self, trailers: Headers) -> None:
        # Without chunks there is no place for them: RFC 9110, 6.5.1 has them dropped.
        self._trailers_down = trailer_lines(trailers, self.exchange.response_header_map)

    def on_response_end(self) -> None:
        if self._chunking:
            self._out.append(b"0\r\n%b\r\n" % self._trailers_down)
        upstream = self._upstream
        self._upstream = None
        if upstream is not None:
            if self._body_complete:
                upstream.release()
            else:
                upstream.abort()  # it answered before it had read the request: the connection is in the middle of it
        status = self.exchange.status
        self.on_read()
        if status >= 400:
            self._end("upstream_error", str(status))
        else:
            self._end("finished", None)
        self._client.finished(self._keep_alive)

    def on_switched(self, response: ResponseHead, rest: bytes) -> bool:
        return False  # nobody asked for it

    def on_lost(self, error_type: str) -> None:
        upstream, self._upstream = self._upstream, None
        exchange = self.exchange
        retryable = (
            upstream is not None
            and upstream.reused
            and upstream.untouched
            and not exchange.retried
            and not self._streaming_up
            and not self.done
        )
        if retryable:
            # A kept connection may have been closed while our request was on its way; nothing was answered, so
            # nothing was begun (RFC 9110, 9.2.2 and RFC 9112, 9.3.1). Once, on a connection of its own.
            exchange.retried = True
            # What the dead connection took is not what the gateway added.
            self._decided_ns += time.perf_counter_ns() - exchange.upstream_started_ns
            self._start(self._connect())
            return
        self._fail("upstream_gone", error_type)

    def on_upstream_writable(self, writable: bool) -> None:
        if not self._body_complete:
            self._client.hold(not writable)


def chunk(data: bytes) -> bytes:
    """Nothing is no chunk: an empty one would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
