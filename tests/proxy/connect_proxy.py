"""A small forward proxy that knows CONNECT and nothing else, and what it was asked. Resolves `*.example` to here."""

import asyncio
from base64 import b64encode
from contextlib import suppress


class ConnectProxy:
    """`async with ConnectProxy() as proxy:`; it answers as `answer` says, or opens tunnels while that is empty."""

    def __init__(self, user: str = "") -> None:
        self.port = 0
        self.asked: list[bytes] = []
        """The heads of the CONNECT requests."""
        self.tunnels = 0
        self.answer: bytes | None = None
        """Instead of a tunnel; b"" hangs up without a word."""
        self.silent = False
        """Takes connections, never answers."""
        self._wanted = b"proxy-authorization: basic " + b64encode(user.encode()).lower() if user else b""
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "ConnectProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._serve_one(reader, writer)
        writer.close()
        self._tasks.discard(task)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        if self.silent:
            await reader.read()
            return
        answer = self.answer
        if answer is None and self._wanted and self._wanted not in head.lower():
            answer = b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'
        if answer is not None:
            writer.write(answer)
            await writer.drain()
            return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        there = await asyncio.open_connection("127.0.0.1" if host.endswith(".example") else host.strip("[]"), int(port))
        self._writers.append(there[1])
        self.tunnels += 1
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
        try:
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        finally:
            there[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
