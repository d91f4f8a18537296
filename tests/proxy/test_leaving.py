"""Whoever is refused while it is still sending can read why: nothing resets the connection before (RFC 9112, 9.6)."""

import asyncio
import contextlib
import socket

import pytest

from gateway.proxy.client import ClientConnection
from tests.proxy.conftest import Bench, MakeBench
from tests.proxy.test_relay import GET

CHUNKED = b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"


class Deaf:
    """A client that sends and does not read before it is told to: what has not been read, a reset takes away."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        self._socket.setblocking(False)

    async def connect(self, bench: Bench) -> None:
        await self._loop.sock_connect(self._socket, ("127.0.0.1", bench.port))

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def until_closed(self) -> bytes:
        """All that came; raises ConnectionResetError where it was taken away."""
        read = b""
        async with asyncio.timeout(5):
            while piece := await self._loop.sock_recv(self._socket, 1 << 16):
                read += piece
        return read

    def close(self) -> None:
        self._socket.close()


async def refused(bench: Bench, client: Deaf, first: bytes) -> bytes:
    """What the client reads that goes on sending after its exchange is over."""
    await client.connect(bench)
    await client.send(first)
    await bench.ended()
    for _ in range(10):
        await client.send(b"a" * 1000)
        await asyncio.sleep(0)
    return await client.until_closed()


@pytest.mark.parametrize(
    ("name", "first", "status"),
    [
        ("endless trailers", CHUNKED + b"0\r\nX-T: " + b"a" * 600_000, 431),
        ("no chunk", CHUNKED + b"zz\r\n", 400),
        ("too much", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n", 413),
        ("no HTTP", b"\x16\x03\x01\r\n\r\n", 400),
    ],
)
async def test_who_goes_on_sending_reads_why_it_was_refused(
    make_bench: MakeBench, name: str, first: bytes, status: int
) -> None:
    bench = await make_bench(header=4096, body=100_000)
    client = Deaf()
    try:
        assert (await refused(bench, client, first)).startswith(b"HTTP/1.1 %d " % status), name
    finally:
        client.close()


async def test_an_answer_with_something_unreadable_behind_its_request_is_not_taken_away(bench: Bench) -> None:
    client = Deaf()
    try:
        answer = await refused(bench, client, GET + b"\x16\x03\x01\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"ok")
    finally:
        client.close()


async def test_a_question_whether_somebody_is_there_may_have_a_body(bench: Bench) -> None:
    client = Deaf()
    await client.connect(bench)
    try:
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        async with asyncio.timeout(5):
            while not any(isinstance(each, ClientConnection) and each.closing for each in bench.server.connections):
                await asyncio.sleep(0)
        for _ in range(10):
            await client.send(b"a" * 1000)
            await asyncio.sleep(0)
        assert (await client.until_closed()).startswith(b"HTTP/1.1 200 ")
    finally:
        client.close()


async def test_what_an_answer_that_breaks_off_had_said_is_not_taken_away(make_bench: MakeBench) -> None:
    bench = await make_bench(capture=10_000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npartial")
        await writer.drain()

    bench.upstream.serve = serve
    client = Deaf()
    try:
        first = b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 20_000
        assert (await refused(bench, client, first)).endswith(b"partial")
    finally:
        client.close()


async def test_who_never_stops_sending_is_not_read_for_ever(make_bench: MakeBench) -> None:
    bench = await make_bench(body=1000, linger=1 << 20, linger_s=0.5)
    wire = await bench.connect()
    await wire.send(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000\r\n\r\n")
    await bench.ended()
    sent = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(5):
            while sent < 1 << 26:
                await wire.send(b"a" * (1 << 16))
                sent += 1 << 16
    assert sent < 1 << 25  # the limit, and what lies in the kernel's buffers on both sides
    assert not bench.server.connections


class Recording(asyncio.Transport):
    """Remembers how it was left."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.left.append("eof")

    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return "close" in self.left

    def close(self) -> None:
        self.left.append("close")

    def abort(self) -> None:
        self.left.append("abort")


async def test_lingering_has_its_time_and_an_answer_on_its_way_the_time_of_any_answer(bench: Bench) -> None:
    transport, server = Recording(), bench.server
    connection = ClientConnection(server)
    connection.connection_made(transport)
    connection.data_received(b"no HTTP\r\n\r\n")
    steps = []
    now = server.pool.now
    for after_s in (0.0, server.limits.linger_s + 1, server.limits.write_s - 1, server.limits.write_s + 1):
        connection.sweep(now + after_s)
        steps.append(list(transport.left))
    connection.connection_lost(None)
    assert steps == [["eof"], ["eof", "close"], ["eof", "close"], ["eof", "close", "abort"]]
