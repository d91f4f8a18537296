"""A client's connection that asks for another protocol: it becomes a WebSocket, or goes on as the HTTP it was."""

import asyncio
from typing import TYPE_CHECKING

import httptools

from gateway.proxy.handler import Talk
from gateway.proxy.handshake import Handshake
from gateway.proxy.leaving import Leaving
from gateway.proxy.pipelining import Pending
from gateway.proxy.relay import Relay
from gateway.proxy.upgrades import BodyOnly, framing_only
from gateway.proxy.websocket import Tunnel

if TYPE_CHECKING:
    from gateway.proxy.client import ClientConnection


class Joining(Leaving):
    """The part of a `ClientConnection` that deals with upgrades; the rest brings it that far."""

    _parser: httptools.HttpRequestParser
    _relay: Relay | None
    _receiving: Relay | Pending | None
    _early: bytearray | None
    """What came behind a WebSocket's handshake that is not answered yet; None: there is none."""

    def _upgrade_asked(self, connection: "ClientConnection", rest: bytes) -> bytes:
        """An Upgrade header. Returns what is to be read as HTTP behind it."""
        receiving = self._receiving
        if isinstance(receiving, Handshake):
            self._receiving = None
            self._early = bytearray(rest)
            self.deadline = 0.0
            receiving.body_end(not self._server.draining, None)
            if receiving.done and self._early is not None:
                self._not_joined(connection)
            return b""
        # Not taken up: the request itself is served, by a parser that goes on with its body.
        if not self.closing:
            self._parser = httptools.HttpRequestParser(BodyOnly(connection))
            self._parser.feed_data(framing_only(receiving.head if receiving is not None else None))
        return rest

    def _not_joined(self, connection: "ClientConnection") -> None:
        """The handshake was answered otherwise. SECURITY: what came behind it may be frames or requests: neither is
        read as the other."""
        early, self._early = self._early, None
        self._parser = httptools.HttpRequestParser(connection)
        if early and not self.closing:
            self._close_gently(request_read=False)

    def join(self, upstream: asyncio.Transport, talk: Talk, extensions: bytes, rest: bytes) -> None:
        relay, self._relay = self._relay, None
        server, early = self._server, bytes(self._early or b"")
        self.closing = True
        server.connections.discard(self)
        if relay is not None:
            server.relays.discard(relay)
        Tunnel(server, self._transport, upstream, talk, extensions).begin(early, rest)
