"""Requests with an Upgrade header that is not taken up: they are served as what they are besides (RFC 9110, 7.8)."""

from typing import Protocol

from gateway.proxy.handler import RequestHead


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
