"""Upstreams behind a forward proxy: tunnelled, kept like others, and told apart when the proxy is what fails."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.proxy.handler import ForwardProxy, Origin
from tests.proxy.conftest import Bench, MakeBench
from tests.proxy.connect_proxy import ConnectProxy
from tests.proxy.test_relay import GET, post
from tests.proxy.test_tls import tls_upstream


async def test_plain_calls_go_through_one_tunnel_byte_for_byte(bench: Bench) -> None:
    async with ConnectProxy() as proxy:
        bench.handler.origin = Origin("model.example", bench.upstream.port, proxy=ForwardProxy("127.0.0.1", proxy.port))
        wire = await bench.connect()
        for _ in range(3):
            await wire.send(post(b"{}"))
            assert (await wire.answer())[1] == b"ok"
        where = b"model.example:%d" % bench.upstream.port
        assert proxy.asked == [b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (where, where)]
        assert bench.upstream.requests[0] == (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: %b\r\nContent-Length: 2\r\n\r\n{}" % where
        )
        assert bench.server.pool.opened == 1
        assert bench.server.pool.reused == 2


async def test_tls_goes_end_to_end_inside_the_tunnel(bench: Bench, certificate: Path) -> None:
    server, port = await tls_upstream(bench, certificate)
    async with ConnectProxy("user:p:ss") as proxy:
        tls = ssl.create_default_context(cafile=str(certificate))
        through = ForwardProxy("127.0.0.1", proxy.port, b"Basic dXNlcjpwOnNz")
        bench.handler.origin = Origin("model.example", port, tls, through)
        body = bytes(i % 251 for i in range(300_000))
        bench.upstream.answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        wire = await bench.connect()
        for _ in range(2):
            await wire.send(post(body))
            assert (await wire.answer())[1] == body
        assert len(proxy.asked) == proxy.tunnels == 1
        assert b"\r\nProxy-Authorization: Basic dXNlcjpwOnNz\r\n" in proxy.asked[0]
        assert b"proxy-authorization" not in bench.upstream.requests[0].lower()
    server.close()


async def test_a_certificate_for_another_name_is_refused_inside_the_tunnel_too(bench: Bench, certificate: Path) -> None:
    server, port = await tls_upstream(bench, certificate)
    async with ConnectProxy() as proxy:
        tls = ssl.create_default_context(cafile=str(certificate))
        bench.handler.origin = Origin("other.example", port, tls, ForwardProxy("127.0.0.1", proxy.port))
        wire = await bench.connect()
        await wire.send(GET)
        assert (await wire.answer())[0].startswith(b"HTTP/1.1 502 ")
        assert (await bench.ended()).error_type == "tls_error"
    server.close()


async def test_a_tunnel_is_not_shared_with_who_goes_straight_or_another_way(bench: Bench) -> None:
    async with ConnectProxy() as one, ConnectProxy() as other:
        ways = [None, ForwardProxy("127.0.0.1", one.port), ForwardProxy("127.0.0.1", other.port)]
        wire = await bench.connect()
        for way in [*ways, *ways]:
            bench.handler.origin = Origin("127.0.0.1", bench.upstream.port, proxy=way)
            await wire.send(GET)
            await wire.answer()
        assert bench.upstream.connections == 3
        assert (one.tunnels, other.tunnels) == (1, 1)


async def test_a_tunnel_that_has_died_costs_one_silent_retry(bench: Bench) -> None:
    async def one_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\n")  # and hangs up on the second

    bench.upstream.serve = one_each
    async with ConnectProxy() as proxy:
        bench.handler.origin = Origin("model.example", bench.upstream.port, proxy=ForwardProxy("127.0.0.1", proxy.port))
        wire = await bench.connect()
        for _ in range(2):
            await wire.send(GET)
            assert (await wire.answer())[1] == b"ok"
        assert proxy.tunnels == 2
        assert bench.handler.all[1].retried


GARBAGE = {
    "refuses": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", "proxy_refused", b"403"),
    "fails": (b"HTTP/1.0 503 Nope\r\n\r\n", "proxy_refused", b"503"),
    "wants credentials": (b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\n\r\n", "proxy_unauthorized", b"407"),
    "redirects": (b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", "proxy_refused", b"302"),
    "speaks something else": (b"SSH-2.0-OpenSSH_9.2\r\n", "proxy_bad_response", b""),
    "answers without an end": (b"HTTP/1.1 200 OK\r\n", "proxy_bad_response", b""),
    "answers without a status": (b"HTTP/1.1 OK\r\n\r\n", "proxy_bad_response", b""),
    "answers a flood": (b"HTTP/1.1 200 OK\r\n" + b"X-Pad: pad\r\n" * 10_000, "proxy_bad_response", b""),
    "speaks for the upstream": (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "proxy_bad_response", b""),
    "hangs up": (b"", "proxy_closed", b""),
}


@pytest.mark.parametrize("case", GARBAGE)
async def test_a_proxy_that_opens_no_tunnel_is_a_502_that_names_it(bench: Bench, case: str) -> None:
    said, error_type, shown = GARBAGE[case]
    async with ConnectProxy() as proxy:
        proxy.answer = said
        through = ForwardProxy("127.0.0.1", proxy.port, b"Basic c2VjcmV0")
        bench.handler.origin = Origin("127.0.0.1", bench.upstream.port, proxy=through)
        wire = await bench.connect()
        await wire.send(post(b"{}"))
        head, _ = await wire.answer()
        assert head.startswith(b"HTTP/1.1 502 ")
        assert b"x-spangate-code: upstream_unreachable\r\n" in head
        exchange = await bench.ended()
        assert (exchange.end, exchange.error_type) == ("upstream_gone", error_type)
        assert exchange.refusal is not None
        assert error_type in exchange.refusal.message
        assert shown.decode() in exchange.refusal.message
        assert "c2VjcmV0" not in exchange.refusal.message
        proxy.answer = None
        await wire.send(post(b"{}"))  # the client's connection lives on, and the next call is tried anew
        assert (await wire.answer())[1] == b"ok"


async def test_a_proxy_that_is_not_there_is_told_from_an_upstream_that_is_not(bench: Bench) -> None:
    async with ConnectProxy() as proxy:
        gone = ForwardProxy("127.0.0.1", proxy.port)
    bench.handler.origin = Origin("127.0.0.1", bench.upstream.port, proxy=gone)
    wire = await bench.connect()
    await wire.send(GET)
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 502 ")
    assert (await bench.ended()).error_type == "proxy_unreachable"


async def test_a_proxy_that_hangs_is_a_504_within_the_connect_timeout(make_bench: MakeBench) -> None:
    bench = await make_bench(connect_s=0.1)
    async with ConnectProxy() as proxy:
        proxy.silent = True
        bench.handler.origin = Origin("127.0.0.1", bench.upstream.port, proxy=ForwardProxy("127.0.0.1", proxy.port))
        wire = await bench.connect()
        await wire.send(GET)
        head, _ = await wire.answer()
        assert head.startswith(b"HTTP/1.1 504 ")
        assert b"x-spangate-code: upstream_timeout\r\n" in head
        assert (await bench.ended()).error_type == "proxy_timeout"


async def test_an_upstream_that_hangs_in_its_handshake_is_not_the_proxys_fault(make_bench: MakeBench) -> None:
    bench = await make_bench(connect_s=0.3)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    bench.upstream.serve = silent
    async with ConnectProxy() as proxy:
        through = ForwardProxy("127.0.0.1", proxy.port)
        bench.handler.origin = Origin("model.example", bench.upstream.port, ssl.create_default_context(), through)
        wire = await bench.connect()
        await wire.send(GET)
        assert (await wire.answer())[0].startswith(b"HTTP/1.1 504 ")
        assert (await bench.ended()).error_type == "connect_timeout"


async def test_a_client_that_leaves_while_the_proxy_hangs_ends_its_exchange(bench: Bench) -> None:
    async with ConnectProxy() as proxy:
        proxy.silent = True
        bench.handler.origin = Origin("127.0.0.1", bench.upstream.port, proxy=ForwardProxy("127.0.0.1", proxy.port))
        wire = await bench.connect()
        await wire.send(GET)
        while not proxy.asked:
            await asyncio.sleep(0)
        wire.abort()
        assert (await bench.ended()).end == "client_gone"


def test_what_authorises_at_the_proxy_does_not_show_itself() -> None:
    assert "c2VjcmV0" not in repr(Origin("a", 1, proxy=ForwardProxy("b", 2, b"Basic c2VjcmV0")))
