"""One client's connection to the built-in model: whole requests in, bytes out. Knows nothing of models or JSON.

Our own server rather than a library's, because it must also send what no server should.
"""

import asyncio
import socket
import struct
from collections import deque
from typing import Protocol, cast

import httptools

PIPELINED_MAX = 16
"""Requests that may wait on one connection behind the one being answered."""


class Received:
    """A request that reached the model."""

    def __init__(self, method: str, target: str, headers: list[tuple[bytes, bytes]], gone: asyncio.Event) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        """As they came: case, order and duplicates kept."""
        self.version = "1.1"
        self.keeps_alive = True
        self.body = b""
        """After transfer decoding; complete once `whole()` returned."""
        self.aborted = False
        """The client went before the request or its answer was complete."""
        self.answered = False
        self._whole = asyncio.Event()
        self._gone = gone

    def header(self, name: str) -> str | None:
        """The first of that name, or None."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), None)

    async def whole(self) -> None:
        """Until its body is complete."""
        await self._whole.wait()

    async def gone(self) -> None:
        """Until the client closed this request's connection."""
        await self._gone.wait()


class Host(Protocol):
    """Whom a connection serves."""

    def request_begun(self, request: Received) -> None:
        """Its head is there."""

    async def handle(self, request: Received, link: "Connection") -> None:
        """Answer this whole request on the link. Cancelled when the client goes."""

    def task_started(self, task: asyncio.Task[None]) -> None:
        """Own this task."""

    def connection_ended(self, link: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """Hands requests to its host one after another."""

    def __init__(self, host: Host, body_max: int) -> None:
        self._host = host
        self._body_max = body_max
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._size = 0
        self._open: Received | None = None
        self._unanswered: list[Received] = []
        self._gone = asyncio.Event()
        self._waiting: deque[Received] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed_by_us = False
        self._switched = False
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        """What comes behind a WebSocket's handshake."""

    # What a handler may do.

    async def send(self, data: bytes) -> None:
        """Write, then wait while the client reads too slowly."""
        self._transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        """After what was sent has left."""
        self._closed_by_us = True
        self._transport.close()

    def reset(self) -> None:
        """Drop what was not sent and answer further packets with RST."""
        self._closed_by_us = True
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def drop(self) -> None:
        """At once, with what was not sent."""
        self._closed_by_us = True
        self._transport.abort()

    async def forever(self) -> None:
        """Until the client goes, which cancels the handler."""
        await asyncio.get_running_loop().create_future()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        # Without it Nagle and delayed ACKs cost 44 ms a request on a kept connection.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self._switched:
            self.incoming.put_nowait(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not any(name.lower() == b"upgrade" and value == b"websocket" for name, value in self._headers):
                self._refuse(b"501 Not Implemented")
                return
            self._switched = True  # whoever refuses it closes
            if rest := data[upgrade.args[0] :]:
                self.incoming.put_nowait(rest)
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request")

    def eof_received(self) -> bool:
        """A half-closed client is a client that has gone: nobody who uses a model does that."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._writable.set()
        self._gone.set()
        for request in self._unanswered:
            request.aborted = not request.answered and not self._closed_by_us
        if self._task is not None:
            self._task.cancel()
        self._host.connection_ended(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        self._target, self._headers, self._body, self._size = b"", [], [], 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        method, target = self._parser.get_method().decode(), self._target.decode("latin-1")
        request = Received(method, target, self._headers, self._gone)
        request.version = self._parser.get_http_version()
        self._open = request
        self._unanswered = [known for known in self._unanswered if not known.answered] + [request]
        self._host.request_begun(request)
        if (request.header("expect") or "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._body_max:
            self._refuse(b"413 Content Too Large")
            return
        self._body.append(data)

    def on_message_complete(self) -> None:
        request, self._open = self._open, None
        if request is None or self._closed_by_us:
            return
        request.body = b"".join(self._body)
        request.keeps_alive = self._parser.should_keep_alive()
        request._whole.set()
        if len(self._waiting) >= PIPELINED_MAX:
            self._refuse(b"429 Too Many Requests")
            return
        self._waiting.append(request)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve(), name="builtin-model-connection")
            self._host.task_started(self._task)

    async def _serve(self) -> None:
        while self._waiting and not self._closed_by_us:
            request = self._waiting.popleft()
            await self._host.handle(request, self)
            request.answered = True
            if not request.keeps_alive:
                self.close()

    def _refuse(self, status: bytes) -> None:
        """An answer before the request was understood, and the end of the connection."""
        if not self._closed_by_us:
            self._transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.close()
