"""Connections to upstreams: opened, kept, checked, given back. Parses responses; decides nothing."""

import asyncio
from collections import Counter
from typing import Protocol, cast

import httptools
import msgspec
import structlog

from gateway.model.exchange import Headers
from gateway.proxy.connecting import connected
from gateway.proxy.handler import Origin
from gateway.proxy.headers import by_name, size_of
from gateway.proxy.limits import Limits

_log = structlog.get_logger("gateway.proxy")

NO_BODY_STATUS = frozenset({204, 304})
_CHEAPER_COPIED = 16 * 1024
"""A body up to this is put behind its head; of a longer one a copy costs more than writing two pieces."""


class ResponseListener(Protocol):
    """Whoever waits for a response. Called on the loop; after `on_response_end` or `on_lost` never again."""

    def on_interim(self, status: int, reason: bytes, headers: Headers) -> None: ...

    def on_response(self, response: "ResponseHead") -> None: ...

    def on_response_data(self, data: bytes) -> None: ...

    def on_read(self) -> None:
        """All callbacks of one network read were made: what is to be written can be written."""

    def on_trailers(self, trailers: Headers) -> None:
        """Behind the last of the data, where there are any."""

    def on_response_end(self) -> None: ...

    def on_switched(self, response: "ResponseHead", rest: bytes) -> bool:
        """101: whether whoever listens takes the connection over, with the bytes that came behind the head."""

    def on_lost(self, error_type: str) -> None:
        """The connection broke, or sent what is not HTTP, before the response was complete."""

    def on_upstream_writable(self, writable: bool) -> None: ...


class ResponseHead(msgspec.Struct, eq=False, gc=False):
    """A response's first line and headers as they came."""

    status: int = 0
    http_minor: int = 1
    reason: bytes = b""
    headers: Headers = []
    header_map: dict[bytes, bytes] = {}
    content_length: bytes | None = None
    chunked: bool = False
    trailers: Headers | None = None


class UpstreamConnection(asyncio.Protocol):
    """One connection to an origin; serves one exchange at a time."""

    __slots__ = (
        "_answered",
        "_bodyless",
        "_closed",
        "_feeding",
        "_head",
        "_head_bytes",
        "_keep",
        "_limits",
        "_listener",
        "_parser",
        "_pool",
        "_released",
        "_surplus",
        "_switch",
        "_until_close",
        "idle_since",
        "origin",
        "reused",
        "transport",
    )

    def __init__(self, pool: "Pool", origin: Origin, limits: Limits) -> None:
        self.origin = origin
        self.reused = False
        self.idle_since = 0.0
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set by connection_made, before any use
        self._pool = pool
        self._limits = limits
        self._listener: ResponseListener | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._head = ResponseHead()
        self._head_bytes = 0
        self._answered = False
        self._bodyless = False
        self._until_close = False
        self._keep = True
        self._closed = False
        self._feeding = False
        self._released = False
        self._surplus = False
        self._switch: ResponseHead | None = None
        """A 101 that came, until it is known what becomes of it."""

    @property
    def usable(self) -> bool:
        return not self._closed and not self.transport.is_closing()

    @property
    def untouched(self) -> bool:
        """Not one byte of an answer has come for the current request."""
        return not self._answered

    def send(self, listener: ResponseListener, head: bytes, body: bytes, head_request: bool) -> None:
        """Send a request; `head_request` says that its response has no body whatever its headers say."""
        self._listener = listener
        self._answered = self._released = False
        self._bodyless = head_request
        if len(body) < _CHEAPER_COPIED:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))

    def abort(self) -> None:
        """Let go of the exchange and of the connection, at once: nobody wants the rest."""
        self._listener = None
        self._closed = True
        self.transport.abort()

    def release(self) -> None:
        """The exchange is over: keep the connection if both sides still can.

        SECURITY: not before the whole read was parsed: bytes after the response's end would be taken for the answer to
        the next request, which may be somebody else's.
        """
        self._listener = None
        self._released = True
        if not self._feeding:
            self._give_back()

    def _give_back(self) -> None:
        self._released = False
        self.reused = True
        if self._keep and self.usable and not self._surplus:
            self.transport.resume_reading()  # the exchange may have ended while its client was slow
            self._pool.give_back(self)
        else:
            self._closed = True
            self.transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        listener = self._listener
        if listener is None:  # an answer nobody asked for: never let it become the next request's
            self._pool.forget(self)
            self._closed = True
            self.transport.abort()
            return
        self._answered = True
        self._head_bytes += len(data)
        self._feeding = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._surplus = True
            if isinstance(error.__context__, ValueError):
                self._broken("bad_upstream_response")
                return
            self._pool.failures["answer"] += 1
            _log.error("relaying an answer failed", error=type(error.__context__ or error).__name__)
            self._broken("internal_error")
        except httptools.HttpParserUpgrade as upgrade:
            if self._switched(listener, data[upgrade.args[0] :]):
                return
        except httptools.HttpParserError:
            self._surplus = True
            self._broken("bad_upstream_response")
        finally:
            self._feeding = False
        # Also trailers and chunk extensions: whatever comes and is not body.
        if self._head_bytes > self._limits.header and self._listener is not None:
            self._broken("bad_upstream_response")
        listener.on_read()
        if self._released:
            self._give_back()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        listener, self._listener = self._listener, None
        if listener is None:
            self._pool.forget(self)
        elif self._until_close and exc is None:
            listener.on_response_end()
            listener.on_read()
        else:
            listener.on_lost("upstream_closed" if exc is None else "upstream_reset")

    def pause_writing(self) -> None:
        if self._listener is not None:
            self._listener.on_upstream_writable(False)

    def resume_writing(self) -> None:
        if self._listener is not None:
            self._listener.on_upstream_writable(True)

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._listener is None:
            self._surplus = True
        self._head = ResponseHead()
        self._until_close = False

    def on_status(self, reason: bytes) -> None:
        self._head.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        head = self._head
        if not head.status:
            head.headers.append((name, value))
        elif head.trailers is None:
            head.trailers = [(name, value)]
        else:
            head.trailers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._listener is None:
            return
        head = self._head
        # Its end may have come with the read that went beyond the limit.
        if self._head_bytes > self._limits.header and size_of(b"", head.headers) > self._limits.header:
            raise ValueError("too large a head")  # ends as a bad response, below
        head.status = status = self._parser.get_status_code()
        if status < 200:
            if status < 100:
                raise ValueError("no status of HTTP")  # ends as a bad response, below
            return
        fields = head.header_map = by_name(head.headers)
        head.http_minor = 1 if self._parser.get_http_version() == "1.1" else 0
        head.content_length = fields.get(b"content-length")
        coding = fields.get(b"transfer-encoding")
        head.chunked = coding is not None
        if coding is not None and coding.lower() != b"chunked":
            raise ValueError("a transfer coding that would be lost")  # ends as a bad response, below
        self._keep = self._parser.should_keep_alive()
        if status in NO_BODY_STATUS:
            self._bodyless = True
        self._until_close = not (self._bodyless or head.chunked or head.content_length is not None)
        self._listener.on_response(head)
        if self._bodyless and self._listener is not None:
            # llhttp does not know that this was a HEAD: it would take the next response for this one's body.
            self._parser = httptools.HttpResponseParser(self)
            self._finish()

    def on_body(self, data: bytes) -> None:
        self._head_bytes = 0
        if self._listener is not None:
            self._listener.on_response_data(data)
        else:
            self._surplus = True

    def on_message_complete(self) -> None:
        head = self._head
        if 100 <= head.status < 200:
            self._interim(head)
        elif self._listener is not None and not self._bodyless:
            self._finish()

    def _interim(self, head: ResponseHead) -> None:
        self._head = ResponseHead()
        if head.status == 101:
            self._switch = head
        elif self._listener is not None:
            self._listener.on_interim(head.status, head.reason, head.headers)

    def _switched(self, listener: ResponseListener, rest: bytes) -> bool:
        """Whether this connection is no longer ours: nobody but an exchange that asked for it takes it over."""
        self._surplus = True
        head = self._switch
        if head is None or self._listener is not listener:
            self._broken("bad_upstream_response")
            return False
        head.header_map = by_name(head.headers)
        self._listener = None
        if listener.on_switched(head, rest):
            self._closed = True
            return True
        self._listener = listener
        self._broken("bad_upstream_response")
        return False

    def _finish(self) -> None:
        listener, trailers = self._listener, self._head.trailers
        self._head = ResponseHead()
        self._head_bytes = 0
        if listener is None:
            return
        if trailers is not None:
            if size_of(b"", trailers) > self._limits.header:
                self._broken("bad_upstream_response")
                return
            listener.on_trailers(trailers)
        listener.on_response_end()

    def _broken(self, error_type: str) -> None:
        listener, self._listener = self._listener, None
        self._closed = True
        self.transport.abort()
        if listener is not None:
            listener.on_lost(error_type)


class Pool:
    """Kept connections by origin; the one used last is taken first, so that the others may age."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.opened = 0
        self.reused = 0
        self.failures: Counter[str] = Counter()
        """By where they were caught: bugs of ours, which cost one exchange or one copy."""
        self.now = 0.0
        """The loop's time as of the last sweep: deadlines do not need better."""
        self._idle: dict[Origin, list[UpstreamConnection]] = {}

    def idle(self, origin: Origin) -> UpstreamConnection | None:
        """A kept connection that still looks alive."""
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if connection.usable:
                self.reused += 1
                return connection
        return None

    async def connect(self, origin: Origin) -> UpstreamConnection:
        """A new connection. Raises ConnectError where it cannot be had, or not in time."""
        connection = await connected(
            origin, self.limits.connect_s, lambda: UpstreamConnection(self, origin, self.limits)
        )
        self.opened += 1
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        kept = self._idle.setdefault(connection.origin, [])
        connection.idle_since = self.now
        kept.append(connection)
        if len(kept) > self.limits.idle_upstreams:
            kept.pop(0).abort()

    def forget(self, connection: UpstreamConnection) -> None:
        """It died while it was idle."""
        kept = self._idle.get(connection.origin)
        if kept and connection in kept:
            kept.remove(connection)

    def sweep(self, now: float) -> None:
        """Close what has been idle too long, before the upstream does it in the middle of a request."""
        self.now = now
        for kept in self._idle.values():
            while kept and now - kept[0].idle_since > self.limits.upstream_keep_alive_s:
                kept.pop(0).abort()

    def close(self) -> None:
        for kept in self._idle.values():
            while kept:
                kept.pop().abort()
