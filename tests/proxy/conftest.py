"""A relay between raw sockets: what is sent and what arrives is plain bytes, and nothing understands them."""

import asyncio
import dataclasses
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from gateway.model.exchange import Captured, End, Exchange, Refusal
from gateway.proxy.handler import Amendment, Origin, Plan, RequestHead, Sign
from gateway.proxy.headers import NOT_FORWARDED, forwardable
from gateway.proxy.limits import Limits
from gateway.proxy.server import ProxyServer
from gateway.proxy.upgrades import asks_websocket
from tests.certificates import self_signed

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    """A raw TCP server; each connection is served by `serve`."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    serve: Serve | None = None
    closed: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        assert self.serve is not None
        try:
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.closed.put_nowait("gone")
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            writer.close()

    def answers(self, *answers: bytes) -> None:
        """Each request on any connection gets the next answer; the connection stays open."""
        left = list(answers)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                self.requests.append(await read_request(reader))
                writer.write(left.pop(0) if len(left) > 1 else left[0])
                await writer.drain()

        self.serve = serve


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request, head and body as they came."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"content-length:" in lower:
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        return head + await reader.readexactly(length)
    if b"transfer-encoding: chunked" in lower:
        return head + await read_chunks(reader)
    return head


def dechunked(data: bytes) -> bytes:
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        out += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return out


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body as it came, with its trailers."""
    read = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        read += size
        if int(size, 16) == 0:
            break
        read += await reader.readexactly(int(size, 16) + 2)
    while not read.endswith(b"\n\r\n"):
        read += await reader.readuntil(b"\r\n")
    return read


class RecordingTalk:
    """Remembers what was said; each message of a client's that begins with `ask` is an exchange."""

    def __init__(self, handler: "RecordingHandler") -> None:
        self._handler = handler
        self.held = handler.holding
        self.client: list[tuple[bytes, bool]] = []
        self.upstream: list[tuple[bytes, bool]] = []
        self.lost = 0
        self.unread = b""
        self.open: list[Exchange] = []
        self.end: tuple[str, str] | None = None
        self.over = asyncio.Event()

    @property
    def busy(self) -> bool:
        return bool(self.open)

    def client_said(self, message: bytes, whole: bool, sound: bool) -> Exchange | None:
        self.client.append((message, whole))
        if not message.startswith(b"ask"):
            return None
        self.open.append(self._handler.plain(message))
        return self.open[-1]

    def sent(self, exchange: Exchange) -> None: ...

    def refused(self, exchange: Exchange) -> bytes:
        self.open.remove(exchange)
        return b"refused"

    def client_unread(self, said: bytes, missing: int) -> Exchange | None:
        self.unread += said
        self.lost += len(said) + missing
        return None

    def upstream_said(self, message: bytes, whole: bool, sound: bool) -> Exchange | None:
        self.upstream.append((message, whole))
        if message == b"done":
            self.open.pop()
        return None

    def not_understood(self, size: int) -> None:
        self.lost += size

    def ended(self, end: End, error_type: str) -> None:
        assert self.end is None, "ended twice"
        self.end = (end, error_type)
        self.open.clear()
        self.over.set()


class RecordingHandler:
    """The least a handler can be: everything goes to one origin, everything that ended is remembered."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.ended: asyncio.Queue[Exchange] = asyncio.Queue()
        self.all: list[Exchange] = []
        self.on_ready: Callable[[Exchange], Awaitable[None] | None] = lambda exchange: None
        self.capture = 1 << 20
        self.amendment: Amendment | None = None
        self.sign: Sign | None = None
        self.holding = False
        self.talks: list[RecordingTalk] = []

    def open(self, head: RequestHead) -> Plan:
        if head.target == b"/":
            return Plan(None, answer=200)
        exchange = self._exchange(head)
        if head.target == b"/refused":
            return Plan(exchange, refusal=Refusal(404, "unknown_route", "no such route"))
        forward = [
            (name, self.origin.authority) if name.lower() == b"host" else (name, value)
            for name, value in forwardable(head.headers, head.header_map, NOT_FORWARDED)
        ]
        if asks_websocket(head.header_map):
            forward += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
        return Plan(exchange, self.origin, head.target, forward=forward, amendment=self.amendment, sign=self.sign)

    def _exchange(self, head: RequestHead) -> Exchange:
        return Exchange(
            "x1",
            0,
            head.method,
            head.target.decode("latin-1"),
            head.headers,
            Captured(self.capture),
            bytes(16),
            bytes(8),
            header_map=head.header_map,
            provider="fake",
            opened_ns=head.opened_ns,
        )

    def ready(self, exchange: Exchange) -> Awaitable[None] | None:
        return self.on_ready(exchange)

    def response_headers(self, exchange: Exchange) -> bytes:
        return b"x-own: 1\r\n"

    def refusal_body(self, exchange: Exchange | None, refusal: Refusal) -> bytes:
        return b'{"error":"%b"}' % refusal.code.encode()

    def malformed(self, head: RequestHead | None, refusal: Refusal) -> Exchange | None:
        return self._exchange(head or RequestHead("_OTHER", b"/", [], {}, 1, ""))

    def plain(self, message: bytes) -> Exchange:
        return Exchange("x2", 0, "GET", message.decode(), [], Captured(self.capture), bytes(16), bytes(8))

    def joined(self, exchange: Exchange) -> RecordingTalk:
        self.talks.append(RecordingTalk(self))
        return self.talks[-1]

    def end(self, exchange: Exchange) -> None:
        self.all.append(exchange)
        self.ended.put_nowait(exchange)


class Wire:
    """A client's raw socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(60):
            return await self.reader.readuntil(mark)

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(60):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """Until the gateway closes."""
        async with asyncio.timeout(60):
            return await self.reader.read()

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body of one answer with a length or in chunks (left in chunks)."""
        head = await self.until(b"\r\n\r\n")
        lower = head.lower()
        if b"content-length:" in lower:
            return head, await self.exactly(int(lower.split(b"content-length:")[1].split(b"\r\n")[0]))
        if b"chunked" in lower:
            async with asyncio.timeout(60):
                return head, await read_chunks(self.reader)
        return head, b""

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()


@dataclass
class Bench:
    """Gateway, upstream and the way to talk to them."""

    upstream: Upstream
    handler: RecordingHandler
    server: ProxyServer
    port: int
    wires: list[Wire] = field(default_factory=list)

    async def connect(self, tls: ssl.SSLContext | None = None) -> Wire:
        name = "localhost" if tls is not None else None
        wire = Wire(
            *await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24, ssl=tls, server_hostname=name)
        )
        self.wires.append(wire)
        return wire

    async def ended(self) -> Exchange:
        async with asyncio.timeout(60):
            return await self.handler.ended.get()


MakeBench = Callable[..., Awaitable[Bench]]


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    sock.setblocking(False)
    return sock


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The relay runs on uvloop, and on asyncio's own loop where that is missing: both must behave alike."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def make_bench() -> AsyncIterator[MakeBench]:
    made: list[tuple[Bench, asyncio.Server]] = []

    async def make(tls: ssl.SSLContext | None = None, **changes: object) -> Bench:
        upstream = Upstream()
        listener = await asyncio.start_server(upstream.handle, "127.0.0.1", 0, limit=1 << 24)
        upstream.port = listener.sockets[0].getsockname()[1]
        upstream.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        limits = dataclasses.replace(Limits(), **changes)  # type: ignore[arg-type]  # tests name fields of Limits
        handler = RecordingHandler(Origin("127.0.0.1", upstream.port))
        handler.capture = limits.capture
        server = ProxyServer(handler, limits)
        sock = listening()
        await server.listen(sock, tls)
        bench = Bench(upstream, handler, server, sock.getsockname()[1])
        made.append((bench, listener))
        return bench

    yield make
    for bench, listener in made:
        for wire in bench.wires:
            wire.abort()
        await bench.server.drain(0.5)
        listener.close()


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One PEM file: a key and a certificate for `localhost` and `model.example`, its own authority."""
    return self_signed(tmp_path_factory.mktemp("tls") / "localhost.pem", "localhost", "model.example")
