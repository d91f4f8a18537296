"""A worker's listener, and what its connections share. Sweeps deadlines; drains."""

import asyncio
import contextlib
import socket
import ssl

from gateway.proxy.client import ClientConnection
from gateway.proxy.handler import Handler
from gateway.proxy.limits import Limits
from gateway.proxy.relay import Relay
from gateway.proxy.unfinished import UnfinishedBodies
from gateway.proxy.upstream import Pool
from gateway.proxy.websocket import Tunnel


class ProxyServer:
    """Listens, and keeps what all connections of a worker share."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        self.handler = handler
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.pool = Pool(limits)
        self.connections: set[ClientConnection | Tunnel] = set()
        self.relays: set[Relay] = set()
        self.tunnels: set[Tunnel] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        """Of messages that are being asked about."""
        self.unfinished = UnfinishedBodies(limits.unfinished)
        self.draining = False
        self.malformed = 0
        self.overloaded = 0
        self.pool.now = self.loop.time()
        self._servers: list[asyncio.Server] = []
        self._sweep_s = max(0.02, min(0.5, min(limits.header_s, limits.first_byte_s, limits.idle_s) / 4))
        self._sweep_handle: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve a bound socket; with `tls`, a handshake has as long as a request's head."""
        server = await self.loop.create_server(
            lambda: ClientConnection(self),
            sock=sock,
            backlog=4096,
            ssl=tls,
            ssl_handshake_timeout=self.limits.header_s if tls is not None else None,
            ssl_shutdown_timeout=self.limits.linger_s if tls is not None else None,
        )
        self._servers.append(server)
        if self._sweep_handle is None:
            self._sweep()

    async def drain(self, deadline_s: float) -> int:
        """Stop listening, let running exchanges end, cut what is left at the deadline; returns how many were cut."""
        self.draining = True
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline_s):
                    await self._idle.wait()
        cut = len(self.relays) + sum(tunnel.busy for tunnel in self.tunnels)
        for connection in list(self.connections):
            connection.abort()
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.pool.close()
        return cut

    def counters(self) -> dict[str, int]:
        """`malformed`: what was no HTTP; `overloaded`: connections beyond the limit; `unfinished_refused`: bodies that
        had no room beside the others; `failures.…`: `Pool.failures`."""
        return {
            "malformed": self.malformed,
            "overloaded": self.overloaded,
            "unfinished_refused": self.unfinished.refused,
            "upstream_opened": self.pool.opened,
            "upstream_reused": self.pool.reused,
            **{f"failures.{where}": count for where, count in self.pool.failures.items()},
        }

    def connection_closed(self) -> None:
        if self.draining and not self.connections:
            self._idle.set()

    def _sweep(self) -> None:
        now = self.loop.time()
        self.pool.sweep(now)
        for connection in list(self.connections):
            connection.sweep(now)
        self._sweep_handle = self.loop.call_later(self._sweep_s, self._sweep)
