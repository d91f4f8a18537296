"""Requests with an Upgrade header: a WebSocket's handshake, and others, which are served as what they are besides
(RFC 9110, 7.8)."""

from typing import Protocol

from gateway.model.exchange import Refusal
from gateway.proxy.handler import RequestHead


def asks_websocket(fields: dict[bytes, bytes]) -> bool:
    return b"upgrade" in fields and fields[b"upgrade"].strip().lower() == b"websocket"


def half_a_handshake(head: RequestHead, pipelined: bool) -> Refusal | None:
    """SECURITY: only where everybody on the way agrees that this is a handshake (RFC 6455, 4.1) may its connection
    become a tunnel; a body, an older version or requests around it are where they do not."""
    fields = head.header_map
    options = [option.strip().lower() for option in fields.get(b"connection", b"").split(b",")]
    wanted = (
        ("the method GET", head.method == "GET"),
        ("HTTP/1.1", head.http_minor == 1),
        ("Connection: Upgrade", b"upgrade" in options),
        ("a Sec-WebSocket-Key", bool(fields.get(b"sec-websocket-key"))),
        ("no body", not (head.chunked or head.content_length)),
        ("to wait for the answers before it", not pipelined),
    )
    missing = next((what for what, there in wanted if not there), None)
    return Refusal(400, "bad_request", f"A WebSocket's handshake needs {missing}.") if missing else None


class RequestEvents(Protocol):
    """What a request parser calls."""

    def on_message_begin(self) -> None: ...

    def on_url(self, url: bytes) -> None: ...

    def on_header(self, name: bytes, value: bytes) -> None: ...

    def on_headers_complete(self) -> None: ...

    def on_body(self, data: bytes) -> None: ...

    def on_message_complete(self) -> None: ...


def framing_only(head: RequestHead | None) -> bytes:
    """A head that tells a new parser, and nobody else, how the body of `head` ends; None: there is none to come.

    llhttp stops behind the head of a request that asks for an upgrade, so another parser must read its body.
    """
    framing, close = b"content-length: 0", b""
    if head is not None:
        if head.chunked:
            framing = b"transfer-encoding: chunked"
        elif head.content_length:
            framing = b"content-length: %d" % head.content_length
        if b"close" in head.header_map.get(b"connection", b"").lower():
            close = b"connection: close\r\n"
    return b"POST / HTTP/1.1\r\nhost: x\r\n%b%b\r\n\r\n" % (close, framing)


class BodyOnly:
    """Keeps a parser's first head (`framing_only`) to itself and passes the rest on."""

    def __init__(self, events: RequestEvents) -> None:
        self._events = events
        self._own_head = True
        self.on_body = events.on_body

    def on_message_begin(self) -> None:
        if not self._own_head:
            self._events.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._own_head:
            self._events.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._own_head:
            self._events.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._own_head:
            self._events.on_headers_complete()
        self._own_head = False

    def on_message_complete(self) -> None:
        self._events.on_message_complete()
