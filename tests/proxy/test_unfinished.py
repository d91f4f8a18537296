"""Slow clients together hold no more of a worker's memory than they may."""

import asyncio

from tests.proxy.conftest import Bench, MakeBench, Wire
from tests.proxy.test_relay import GET, post

HEAD = b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n"
PART, REST = b"a" * 40_000, b"a" * 10_000


async def begun(bench: Bench) -> Wire:
    """A client that has sent most of its body."""
    wire, before = await bench.connect(), bench.server.unfinished.kept
    await wire.send(HEAD + PART)
    async with asyncio.timeout(5):
        while bench.server.unfinished.kept < before + len(PART):
            await asyncio.sleep(0)
    return wire


async def test_one_body_too_many_is_refused_and_the_others_go_on(make_bench: MakeBench) -> None:
    bench = await make_bench(unfinished=100_000)
    first, second = await begun(bench), await begun(bench)
    third = await bench.connect()
    await third.send(HEAD + PART)
    head, body = await third.answer()
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in head
    assert b"overloaded" in body
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type) == ("refused", "overloaded")
    assert exchange.refusal is not None
    assert "receivers::llm::max_unfinished" in exchange.refusal.message
    for wire in (first, second):
        await wire.send(REST)
        assert (await wire.answer())[1] == b"ok"
    assert bench.server.unfinished.kept == 0
    again = await begun(bench)
    await again.send(REST)
    assert (await again.answer())[1] == b"ok"
    assert bench.server.counters()["unfinished_refused"] == 1


async def test_who_has_little_finds_room_however_much_others_hold(make_bench: MakeBench) -> None:
    bench = await make_bench(unfinished=2 * len(PART))
    await begun(bench)
    await begun(bench)
    wire = await bench.connect()
    for piece in (b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab", b"cd"):
        await wire.send(piece)
        async with asyncio.timeout(5):
            while bench.server.unfinished.kept == 2 * len(PART) and piece != b"cd":
                await asyncio.sleep(0)
    assert (await wire.answer())[1] == b"ok"


async def test_who_leaves_makes_room(make_bench: MakeBench) -> None:
    bench = await make_bench(unfinished=100_000)
    for _ in range(5):
        wire = await begun(bench)
        wire.abort()
        assert (await bench.ended()).end == "client_gone"
        assert bench.server.unfinished.kept == 0


async def test_what_comes_whole_weighs_nothing(make_bench: MakeBench) -> None:
    bench = await make_bench(unfinished=1)
    wire = await bench.connect()
    await wire.send(post(b"a" * 1000))
    assert (await wire.answer())[1] == b"ok"
    assert bench.server.counters()["unfinished_refused"] == 0


async def test_what_streams_through_weighs_no_more_than_what_is_kept(make_bench: MakeBench) -> None:
    bench = await make_bench(unfinished=100_000, capture=20_000)
    wire = await bench.connect()
    await wire.send(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    await wire.send(b"a" * 1_000_000)
    assert (await wire.answer())[1] == b"ok"
    assert bench.server.unfinished.kept == 0


async def test_a_body_behind_a_running_exchange_counts_too(make_bench: MakeBench) -> None:
    bench = await make_bench(unfinished=30_000)
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(GET + HEAD + PART)
    async with asyncio.timeout(5):
        while not bench.server.unfinished.refused:
            await asyncio.sleep(0)
    release.set()
    head, body = await wire.answer()
    assert (b"Connection: close" in head, body) == (True, b"ok")
    assert await wire.rest() == b""
    assert (len(bench.handler.all), bench.server.unfinished.kept) == (1, 0)
