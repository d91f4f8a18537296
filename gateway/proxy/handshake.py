"""A WebSocket's beginning: an exchange like any other until the upstream answers 101. Any other answer is relayed."""

from gateway.proxy.headers import HOP_BY_HOP, forwardable, lines
from gateway.proxy.relay import Relay
from gateway.proxy.upstream import ResponseHead

_OURS = b"x-spangate-"


class Handshake(Relay):
    """The client's connection has checked that the request is one (`upgrades.half_a_handshake`)."""

    __slots__ = ()

    def on_switched(self, response: ResponseHead, rest: bytes) -> bool:
        fields = response.header_map
        if fields.get(b"upgrade", b"").strip().lower() != b"websocket" or self._upstream is None:
            return False
        exchange, upstream = self.exchange, self._upstream
        exchange.status = response.status
        exchange.response_headers = response.headers
        exchange.response_header_map = fields
        self._upstream = None
        self.done = True  # what is said from here on ends exchanges; this one is in the talk's hands
        dropped = HOP_BY_HOP.union(name for name in fields if name[:11] == _OURS)
        head = b"HTTP/1.1 101 %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%b%b\r\n" % (
            response.reason or b"Switching Protocols",
            lines(forwardable(response.headers, fields, dropped)),
            self._handler.response_headers(exchange),
        )
        self._client.write(head)
        extensions = [value for name, value in response.headers if name.lower() == b"sec-websocket-extensions"]
        self._client.join(upstream.transport, self._handler.joined(exchange), b",".join(extensions), rest)
        return True
