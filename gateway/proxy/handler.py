"""What the relay asks of whoever gives its exchanges a meaning. The relay itself knows no API, session or policy."""

import ssl
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from gateway.contracts import Gate
from gateway.model.exchange import End, Exchange, Headers, Refusal


@dataclass(slots=True, frozen=True)
class ForwardProxy:
    """Who opens the connection for us, on CONNECT."""

    host: str
    port: int
    authorization: bytes = field(default=b"", repr=False)
    """The value of `Proxy-Authorization`; empty: none."""


class Origin(NamedTuple):
    """Where a connection goes. Equal origins share kept connections."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    proxy: ForwardProxy | None = None

    @property
    def authority(self) -> bytes:
        """For the Host header: without the scheme's default port; IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}").encode()


class RequestHead(msgspec.Struct, eq=False, gc=False):
    """A request's first line and headers, as they came."""

    method: str
    target: bytes
    """Origin form: path and query. An absolute-form target has lost its scheme and authority."""
    headers: Headers
    header_map: dict[bytes, bytes]
    """Names in lower case; of a repeated header the last value, of Connection all of them, joined by commas."""
    http_minor: int
    """0 for HTTP/1.0, 1 for HTTP/1.1."""
    client_address: str
    content_length: int | None = None
    chunked: bool = False
    opened_ns: int = 0
    """Monotonic time of the request's first byte."""


class Filter(Protocol):
    """Keeps a part of one answer's body from the client."""

    def feed(self, data: bytes) -> bytes:
        """What may go on of this and of what was held; cut anywhere."""

    def end(self) -> bytes:
        """The body is over or broke off: what may go on of what was held. Called once."""


class Amended(NamedTuple):
    body: bytes
    """The whole body for the upstream; its length is the relay's business."""
    forward: Headers


class Amendment(Protocol):
    """What a setting changes about an exchange on its way. An exchange without one pays nothing for those that have."""

    def request(self, exchange: Exchange, forward: Headers) -> Amended | None:
        """The request is here, whole, and about to leave. None: it stays as it is, and so does its answer."""

    def answer(self, status: int, header_map: dict[bytes, bytes]) -> Filter | None:
        """The head of an amended request's answer is here. None: the answer stays as it is."""


class Sign(Protocol):
    """Signs a request over its head and whole body, for APIs whose credential is a signature."""

    async def __call__(self, method: str, target: bytes, headers: Headers, body: bytes) -> Headers | Refusal:
        """The headers to send instead of `headers`, or why there are none."""


class Plan(msgspec.Struct, eq=False, gc=False):
    """What is to become of a request: sent on to `origin`, refused, or answered right here."""

    exchange: Exchange | None
    origin: Origin | None = None
    target: bytes = b""
    """Path and query for the upstream."""
    refusal: Refusal | None = None
    answer: int = 0
    """A status to answer with, without a body and without an exchange (`HEAD /`)."""
    forward: Headers = []
    """End-to-end headers for the upstream, with its Host; the relay adds `Transfer-Encoding` or a missing length."""
    withheld: frozenset[bytes] = frozenset()
    """Lower-case names that must not go upstream, as trailers either."""
    amendment: Amendment | None = None
    sign: Sign | None = None
    """Asked once the request may leave, with `forward` and the body; a body too big to be kept is refused instead."""
    gate: Gate | None = None
    """What the answer has to pass on its way to the client."""


class Handler(Protocol):
    """Called by the relay, in this order, on the event loop."""

    def open(self, head: RequestHead) -> Plan:
        """The head is here. Decides the route; nothing has been read of the body."""

    def ready(self, exchange: Exchange) -> Awaitable[None] | None:
        """The body is here, whole, or as much of it as is kept. May set `exchange.refusal`. The client waits."""

    def response_headers(self, exchange: Exchange) -> bytes:
        """The gateway's own response headers, as header lines."""

    def refusal_body(self, exchange: Exchange | None, refusal: Refusal) -> bytes:
        """JSON in the shape of the exchange's API."""

    def malformed(self, head: RequestHead | None, refusal: Refusal) -> Exchange | None:
        """A request that is not HTTP or must not be relayed: an exchange to remember it by, or None."""

    def end(self, exchange: Exchange) -> None:
        """It is over; called exactly once for each exchange, never raises."""

    def joined(self, exchange: Exchange) -> "Talk":
        """Client and upstream speak WebSocket from here on. The handshake's exchange is the talk's: it ends it, or
        forgets it because what is said makes exchanges of its own."""


class Talk(Protocol):
    """What is said on one WebSocket. Called on the event loop, with the messages of a copy; never raises."""

    held: bool
    """Whether a client's message waits until it was asked about; no extension was offered upstream then."""

    @property
    def busy(self) -> bool:
        """Whether an exchange has begun and is not over."""

    def client_said(self, message: bytes, whole: bool, sound: bool) -> Exchange | None:
        """A message of the client's. An exchange that it begins: whoever calls asks `Handler.ready` about it next.

        `whole`: False where these are its first bytes only; `sound`: False of text that is no UTF-8.
        """

    def client_unread(self, said: bytes, missing: int) -> Exchange | None:
        """What the client says where no message can be made of its frames any more, unmasked; and how many bytes went
        by of which not even that is known. As above."""

    def sent(self, exchange: Exchange) -> None:
        """The message that began it is on its way upstream."""

    def refused(self, exchange: Exchange) -> bytes:
        """The message that began it is not: ends the exchange; returns what to tell the client, as a text message."""

    def upstream_said(self, message: bytes, whole: bool, sound: bool) -> Exchange | None:
        """A message of the upstream's; as above, where the upstream begins an exchange by itself."""

    def not_understood(self, size: int) -> None:
        """So many bytes of the upstream's went by of which nothing is known."""

    def ended(self, end: End, error_type: str) -> None:
        """The connection is over, and with it whatever has not ended."""
