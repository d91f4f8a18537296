"""A client's connection: HTTP/1.1 in, one exchange at a time, answers out. Refuses what is not HTTP."""

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from gateway.model.exchange import Headers, Refusal
from gateway.proxy.acceptance import received_head, unacceptable
from gateway.proxy.amended import AmendedRelay
from gateway.proxy.gated import GatedRelay
from gateway.proxy.handler import RequestHead
from gateway.proxy.handshake import Handshake
from gateway.proxy.headers import size_of
from gateway.proxy.joining import Joining
from gateway.proxy.leftover import left_unread
from gateway.proxy.pipelining import PENDING_LIMIT, PILE_BYTES, Pending
from gateway.proxy.refusals import (
    bad_http,
    empty_answer,
    header_too_large,
    too_large,
    too_many_unfinished,
    too_slow,
    trailers_too_large,
)
from gateway.proxy.relay import Relay
from gateway.proxy.signed import SignedRelay
from gateway.proxy.upgrades import asks_websocket

if TYPE_CHECKING:
    from gateway.proxy.server import ProxyServer

_MUCH = 64 * 1024
"""Bytes of a body that came at once: more of it waits for the loop's next turn."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientConnection(Joining):
    """One client's connection."""

    def __init__(self, server: "ProxyServer") -> None:
        self._server = server
        self._handler = server.handler
        self._limits = server.limits
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set by connection_made, before any use
        self._loop = server.loop
        self._address = ""
        self._relay: Relay | None = None
        self._receiving: Relay | Pending | None = None
        """Whose body is being read."""
        self._pending: deque[Pending] = deque()
        self.closing = False
        self.blocked = False
        self._piled = 0
        self._lingering = False
        self._dropped = 0
        self._weighed = 0
        self._spoiled = False
        self._hold = False
        self._paused = False
        self._early = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailers: Headers | None = None
        self._in_head = False
        self._head_bytes = 0
        self._opened_ns = 0
        self.deadline = 0.0
        self._blocked_since = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else ""
        self._server.connections.add(self)
        if len(self._server.connections) > self._limits.connections:
            self._server.overloaded += 1
            self._answer_bare(
                Refusal(503, "overloaded", "The gateway has as many connections as it may. Try again soon.", 1)
            )
            return
        self._expect("header_timeout", self._limits.header_s)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            self._drop(len(data))  # what a refused client still sends is read, so that it can read why
            return
        if self._early is not None:
            self._early += data
            self._steer()
            return
        self._head_bytes += len(data)
        if self._pending:
            # Read on behind the running exchange, so that a client that leaves is noticed; but not without end.
            self._piled += len(data)
            self._steer()
        rest = data
        while rest and not self.closing:
            try:
                self._parser.feed_data(rest)
                rest = b""
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._upgrade_asked(self, rest[upgrade.args[0] :])
            except httptools.HttpParserError as error:
                self._malformed(error)
                rest = b""
        if self._head_bytes > self._limits.header and not self.closing:
            self._head_too_large()  # also trailers and chunk extensions: whatever comes and is not body
        if self._receiving is not None or self._weighed:
            self._weigh()
            if len(data) >= _MUCH and not (self.closing or self._paused):
                # libuv goes on reading as long as there is as much: 8 MiB in one turn, in chunks of one byte seconds.
                self._transport.pause_reading()
                self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        """In the loop's next turn: others had theirs."""
        if not self.closing:
            self._steer()
        elif not self._transport.is_closing():
            self._transport.resume_reading()  # for what a refused client still sends

    def eof_received(self) -> bool:
        return False  # a client that has closed its side is gone: nothing tells a half-closed one from a dead one

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._server.connections.discard(self)
        self._pending.clear()
        self._forget_unfinished()
        relay, self._relay = self._relay, None
        if relay is not None:
            self._server.relays.discard(relay)
            relay.client_gone()
        self._server.connection_closed()

    def pause_writing(self) -> None:
        self._blocked_since = self._loop.time()
        self.blocked = True
        # Requests that are answered right here must not pile up their answers either.
        self._steer()
        if self._relay is not None:
            self._relay.client_writable(False)

    def resume_writing(self) -> None:
        self._blocked_since = 0.0
        self.blocked = False
        self._steer()
        if self._relay is not None:
            self._relay.client_writable(True)

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._in_head = True
        self._opened_ns = time.perf_counter_ns()
        self._url = b""
        self._headers = []
        if self._relay is None:
            self._expect("header_timeout", self._limits.header_s)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._headers.append((name, value))
        elif self._trailers is None:
            self._trailers = [(name, value)]
        else:
            self._trailers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        received, self._head_bytes = self._head_bytes, 0
        if self.closing:
            return
        if received > self._limits.header and size_of(self._url, self._headers) > self._limits.header:
            self._head_too_large()
            return
        head = received_head(self._parser, self._url, self._headers, self._address, self._opened_ns)
        if self._relay is not None or self._pending:
            pending = Pending(head)
            self._pending.append(pending)
            self._receiving = pending
            self._steer()
        else:
            self._begin(head, None)

    def on_body(self, data: bytes) -> None:
        self._head_bytes = 0
        receiving = self._receiving
        if isinstance(receiving, Relay):
            receiving.body(data)
        elif receiving is not None:
            receiving.pieces.append(data)
            receiving.size += len(data)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return  # llhttp stops behind such a head; `_upgrade_asked` goes on with the body
        trailers, self._trailers = self._trailers, None
        if trailers is not None and size_of(b"", trailers) > self._limits.header and not self.closing:
            self._head_too_large()
            return
        self._head_bytes = 0
        receiving, self._receiving = self._receiving, None
        keep_alive = self._parser.should_keep_alive() and not self._server.draining
        if isinstance(receiving, Relay):
            if not receiving.done:
                self.deadline = 0.0
            receiving.body_end(keep_alive, trailers)
        elif receiving is not None:
            receiving.complete = True
            receiving.trailers = trailers
            receiving.keep_alive = keep_alive

    # Requests

    def _begin(self, head: RequestHead, pending: Pending | None) -> Relay | None:
        """Start an exchange; None where there is none to start. `pending`: where the request had to wait.

        SECURITY: `_receiving` is about the request whose body comes now. Where one that waited begins, that may be a
        later one: its bytes must neither be lost nor become this one's.
        """
        fields = head.header_map
        refusal = unacceptable(head, pending is not None)
        if refusal is not None:
            self._refuse_bare(head, refusal)
            return None
        plan = self._handler.open(head)
        if plan.exchange is None:
            self._answer_empty(head, plan.answer, pending)
            return None
        kind: type[Relay] = Relay
        if asks_websocket(fields):
            kind = Handshake
        elif plan.gate is not None:
            kind = GatedRelay
        elif plan.sign is not None:  # over the body as it came: nothing amends it afterwards
            kind = SignedRelay
        elif plan.amendment is not None:
            kind = AmendedRelay
        relay = kind(head, plan, plan.exchange, self, self._handler, self._server.pool)
        self._relay = relay
        if pending is None or self._receiving is pending:
            self._receiving = relay
        self._server.relays.add(relay)
        if plan.refusal is None and head.content_length is not None and head.content_length > self._limits.body:
            plan.refusal = too_large(self._limits.body)
        if plan.refusal is not None:
            if not head.chunked and not head.content_length:
                relay.body_complete_without_body(self._may_go_on(pending))
            relay.refuse(plan.refusal)
            return relay
        self._expect("request_timeout", self._limits.request_s)
        if b"expect" in fields and head.http_minor == 1:
            self.write(_CONTINUE)
        return relay

    # Answers; the relay's `Client`

    def hold(self, held: bool) -> None:
        if held == self._hold:
            return
        self._hold = held
        self._steer()

    def finished(self, keep_alive: bool) -> None:
        if self._early is not None:
            self._not_joined(self)
        relay, self._relay = self._relay, None
        if relay is not None:
            self._server.relays.discard(relay)
        self._hold = False
        if self._paused:
            self._steer()
        if not keep_alive or self._spoiled or self._server.draining:
            self._close_gently(request_read=self._receiving is None and not self._spoiled and not self._pending)
            return
        if self._pending:
            # Not from inside the parser's callbacks or deep in another relay's: the stack must not grow with them.
            self._loop.call_soon(self._next)
        else:
            self._expect("keep_alive_timeout", self._limits.keep_alive_s)

    def cut(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            self._server.relays.discard(relay)
        # What was written still goes out; the missing end tells the client that it broke off.
        self._close_gently(request_read=self._receiving is None or not self._transport.can_write_eof())

    def _next(self) -> None:
        if self.closing or self._relay is not None:
            return
        if not self._pending:
            self._piled = 0
            self._steer()
            self._expect("keep_alive_timeout", self._limits.keep_alive_s)
            return
        pending = self._pending.popleft()
        relay = self._begin(pending.head, pending)
        if relay is None:
            self._loop.call_soon(self._next)  # answered without an exchange, or refused: `_next` knows which
            return
        for piece in pending.pieces:
            relay.body(piece)
        if pending.complete:
            self.deadline = 0.0
            relay.body_end(pending.keep_alive, pending.trailers)
        if not self._pending:
            self._piled = 0
        self._steer()

    def _steer(self) -> None:
        """Read on only while what is read has somewhere to go."""
        if self._transport.is_closing() or self.closing:
            return
        full = self._piled > PILE_BYTES or len(self._pending) > PENDING_LIMIT
        full = full or (self._early is not None and len(self._early) > PILE_BYTES)
        self._paused = self._hold or self.blocked or self._spoiled or full
        if self._paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _may_go_on(self, pending: Pending | None) -> bool:
        """Whether a request that has no body leaves its connection open."""
        keep_alive = self._parser.should_keep_alive() if pending is None else pending.keep_alive
        return keep_alive and not self._server.draining

    def _answer_empty(self, head: RequestHead, status: int, pending: Pending | None) -> None:
        keep_alive = self._may_go_on(pending) and not (head.chunked or head.content_length)
        self.write(empty_answer(status, keep_alive))
        if keep_alive:
            self._expect("keep_alive_timeout", self._limits.keep_alive_s)
        else:
            self._close_gently(request_read=not (head.chunked or head.content_length))

    def _malformed(self, error: httptools.HttpParserError) -> None:
        if isinstance(error, httptools.HttpParserCallbackError):
            raise error  # a bug of ours, not the client's; the loop's exception handler reports it
        if self.closing:
            return  # refused already, for what its head said
        self._server.malformed += 1
        if self._relay is not None and self._receiving is self._relay:
            # The head was fine, its body is not: this exchange ends with that.
            self._relay.refuse(bad_http(error))
            return
        if self._relay is None:
            self._refuse_bare(None, bad_http(error))
        else:
            self._spoil(self._relay)

    def _head_too_large(self) -> None:
        if self._relay is None:
            self._refuse_bare(None, header_too_large(self._limits.header))
        elif self._receiving is self._relay:
            self._relay.refuse(trailers_too_large())
        else:
            self._spoil(self._relay)

    def _weigh(self) -> None:
        """A body is not whole after this read, or was not before it."""
        receiving, before = self._receiving, self._weighed
        now = 0
        if receiving is not None and not self.closing:
            now = receiving.exchange.request_body.kept if isinstance(receiving, Relay) else receiving.size
        self._weighed = now
        unfinished = self._server.unfinished
        if unfinished.weigh(before, now) or self._relay is None:
            return
        if receiving is self._relay:
            self._relay.refuse(too_many_unfinished(unfinished.limit))
        else:
            self._spoil(self._relay)  # it was not answered yet, and will be on another connection

    def _spoil(self, relay: Relay) -> None:
        """What came behind the running exchange cannot be read: that one goes on, nothing follows it."""
        self._spoiled = True
        relay.last_on_connection()
        self._steer()

    # Time

    def sweep(self, now: float) -> None:
        """Called now and then: whoever keeps us waiting too long is let go."""
        if self._blocked_since and now - self._blocked_since > self._limits.write_s:
            if self._relay is not None:
                self._relay.client_gone("client_too_slow")
            self._transport.abort()
            return
        if self._relay is not None:
            self._relay.overdue(now)
            if self._relay is not None and left_unread(self._transport):
                self._transport.abort()
                return
        if not self.deadline or now < self.deadline:
            return
        if self._lingering:
            self._close()
        elif self.closing:
            self._transport.abort()
        elif self._relay is not None:
            self.deadline = 0.0
            self._relay.refuse(too_slow("body", self._limits.request_s))
        elif self._relay is None and self._in_head:
            self._refuse_bare(None, too_slow("head", self._limits.header_s))
        elif self._relay is None:
            self._transport.close()  # idle

    def drain(self) -> None:
        """No new requests; a running exchange goes on."""
        if self._relay is None and not self.closing:
            self._transport.close()
        elif self._relay is not None:
            self._relay.last_on_connection()

    def abort(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.shut_down()
            self._server.relays.discard(relay)
        self._transport.abort()
