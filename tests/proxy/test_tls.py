"""Upstreams behind TLS: verified, kept, refused with a name where the certificate is not good."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.proxy.handler import Origin
from tests.proxy.conftest import Bench
from tests.proxy.test_relay import GET, post


async def tls_upstream(bench: Bench, certificate: Path) -> tuple[asyncio.Server, int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(bench.upstream.handle, "127.0.0.1", 0, ssl=context, limit=1 << 24)
    return server, server.sockets[0].getsockname()[1]


async def test_calls_go_through_tls_and_keep_the_connection(bench: Bench, certificate: Path) -> None:
    server, port = await tls_upstream(bench, certificate)
    bench.handler.origin = Origin("localhost", port, ssl.create_default_context(cafile=str(certificate)))
    body = bytes(i % 251 for i in range(300_000))
    bench.upstream.answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    wire = await bench.connect()
    for _ in range(3):
        await wire.send(post(body))
        assert (await wire.answer())[1] == body
    assert bench.upstream.connections == 1
    assert b"Host: localhost:%d\r\n" % port in bench.upstream.requests[0]
    assert all(request.endswith(b"\r\n\r\n" + body) for request in bench.upstream.requests)
    server.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_certificate_that_is_not_good_is_a_502_with_its_reason(
    bench: Bench, certificate: Path, host: str
) -> None:
    """`localhost`: signed by nobody we know. `127.0.0.1`: known, but for another name."""
    server, port = await tls_upstream(bench, certificate)
    trusted = str(certificate) if host == "127.0.0.1" else None
    bench.handler.origin = Origin(host, port, ssl.create_default_context(cafile=trusted))
    wire = await bench.connect()
    await wire.send(GET)
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 502 ")
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type) == ("upstream_gone", "tls_error")
    assert bench.upstream.requests == []
    server.close()


async def test_plain_text_behind_https_is_a_502(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    bench.upstream.serve = serve
    bench.handler.origin = Origin("127.0.0.1", bench.upstream.port, ssl.create_default_context())
    wire = await bench.connect()
    await wire.send(GET)
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 502 ")
    assert (await bench.ended()).end == "upstream_gone"
