"""TLS between clients and the gateway: the same relay behind it, and nobody keeps a handshake open for long."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.model.exchange import Exchange
from gateway.tls import ServerTlsConfig
from tests.proxy.conftest import Bench, MakeBench, Wire, read_request
from tests.proxy.test_relay import GET, post


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    return ServerTlsConfig(cert_file=str(certificate), key_file=str(certificate)).context()


@pytest.fixture
def client_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.fixture
async def secure(make_bench: MakeBench, server_tls: ssl.SSLContext) -> Bench:
    return await make_bench(server_tls)


def _spoken(wire: Wire) -> tuple[str, str]:
    tls = wire.writer.get_extra_info("ssl_object")
    return tls.version(), tls.selected_alpn_protocol()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_calls_are_relayed_byte_for_byte_on_a_kept_connection(
    secure: Bench, client_tls: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    client_tls.minimum_version = client_tls.maximum_version = version
    body = bytes(i % 251 for i in range(300_000))
    secure.upstream.answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    wire = await secure.connect(client_tls)
    assert _spoken(wire) == (version.name.replace("_", "."), "http/1.1")
    for _ in range(3):
        await wire.send(post(body))
        assert (await wire.answer())[1] == body
        assert (await secure.ended()).request_body.joined() == body
    assert secure.upstream.requests[2].endswith(b"\r\n\r\n" + body)


async def test_each_event_of_a_stream_passes_as_it_comes(secure: Bench, client_tls: ssl.SSLContext) -> None:
    released = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            writer.write(b"9\r\ndata: %d\n\n\r\n" % number)
            await writer.drain()
            await released.acquire()
        writer.write(b"0\r\n\r\n")

    secure.upstream.serve = serve
    wire = await secure.connect(client_tls)
    await wire.send(GET)
    await wire.until(b"\r\n\r\n")
    for number in range(5):
        assert await wire.until(b"\n\n\r\n") == b"9\r\ndata: %d\n\n\r\n" % number
        released.release()
    assert await wire.until(b"\r\n\r\n") == b"0\r\n\r\n"


async def test_pipelined_calls_are_answered_in_order(secure: Bench, client_tls: ssl.SSLContext) -> None:
    secure.upstream.answers(*(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % n for n in range(4)))
    wire = await secure.connect(client_tls)
    await wire.send(post(b"a") + GET + post(b"c") + GET)
    assert [(await wire.answer())[1] for _ in range(4)] == [b"0", b"1", b"2", b"3"]


async def test_a_slow_client_holds_the_upstream(secure: Bench, client_tls: ssl.SSLContext) -> None:
    size = 40_000_000
    sent = 0
    blocked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 100_000)
            sent += 100_000
            if not blocked.is_set():
                try:
                    async with asyncio.timeout(0.5):
                        await writer.drain()
                except TimeoutError:
                    blocked.set()
            await writer.drain()

    secure.upstream.serve = serve
    wire = await secure.connect(client_tls)
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a StreamWriter's transport reads, too
    await wire.send(GET)
    async with asyncio.timeout(10):
        await blocked.wait()
    assert sent < size
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
    await wire.until(b"\r\n\r\n")
    assert await wire.exactly(size) == b"x" * size


async def test_a_client_that_leaves_cancels_its_call(secure: Bench, client_tls: ssl.SSLContext) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()
        secure.upstream.closed.put_nowait("cancelled")

    secure.upstream.serve = serve
    wire = await secure.connect(client_tls)
    await wire.send(GET)
    async with asyncio.timeout(5):
        while not secure.upstream.connections:
            await asyncio.sleep(0)
    wire.close()
    assert (await secure.ended()).end == "client_gone"
    async with asyncio.timeout(5):
        assert await secure.upstream.closed.get() in ("cancelled", "gone")


async def test_a_refused_client_that_is_still_sending_can_read_why(
    make_bench: MakeBench, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    bench = await make_bench(server_tls, body=1000)
    wire = await bench.connect(client_tls)
    wire.writer.write(post(b"a" * 5_000_000))
    head, body = await wire.answer()
    assert head.startswith(b"HTTP/1.1 413 ")
    assert body == b'{"error":"body_too_large"}'


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
async def test_a_handshake_that_does_not_come_to_its_end_is_let_go(
    make_bench: MakeBench, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, begun: bytes
) -> None:
    bench = await make_bench(server_tls, header_s=0.2)
    slow = await bench.connect()
    await slow.send(begun)
    assert await slow.rest() == b""
    wire = await bench.connect(client_tls)
    await wire.send(GET)
    assert (await wire.answer())[1] == b"ok"
    assert len(bench.handler.all) == 1


async def test_a_head_that_does_not_come_behind_the_handshake_is_let_go(
    make_bench: MakeBench, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    bench = await make_bench(server_tls, header_s=0.2)
    wire = await bench.connect(client_tls)
    await wire.send(b"GET /v1/models HTTP/1.1\r\nHost:")
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 408 ")


async def test_plain_http_where_tls_is_spoken_reaches_nobody(secure: Bench, client_tls: ssl.SSLContext) -> None:
    plain = await secure.connect()
    await plain.send(GET)
    assert not (await plain.rest()).startswith(b"HTTP")
    wire = await secure.connect(client_tls)
    await wire.send(GET)
    assert (await wire.answer())[1] == b"ok"
    assert len(secure.upstream.requests) == 1


async def test_draining_closes_kept_connections_and_lets_a_running_call_end(
    secure: Bench, client_tls: ssl.SSLContext
) -> None:
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await release.wait()
        writer.write(b"cd")

    secure.upstream.serve = serve
    idle, busy = await secure.connect(client_tls), await secure.connect(client_tls)
    await busy.send(GET)
    await busy.until(b"\r\n\r\nab")
    draining = asyncio.create_task(secure.server.drain(5.0))
    assert await idle.rest() == b""
    release.set()
    assert await busy.rest() == b"cd"
    assert await draining == 0


async def test_a_client_that_leaves_while_it_is_held_is_noticed(secure: Bench, client_tls: ssl.SSLContext) -> None:
    async def decide(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    secure.handler.on_ready = decide
    wire = await secure.connect(client_tls)
    await wire.send(post(b"{}"))
    async with asyncio.timeout(5):
        while not secure.server.relays:
            await asyncio.sleep(0)
    wire.abort()
    assert (await secure.ended()).end == "client_gone"
