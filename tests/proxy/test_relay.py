"""Well-formed traffic: what goes in comes out, byte for byte, and each exchange ends once with the truth."""

import asyncio

import pytest

from gateway.model.exchange import Exchange, Refusal
from tests.proxy.conftest import Bench, MakeBench, dechunked, read_request

GET = b"GET /v1/models HTTP/1.1\r\nHost: gw\r\n\r\n"


def post(body: bytes, extra: bytes = b"", path: bytes = b"/v1/chat/completions") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n%b\r\n%b" % (path, len(body), extra, body)


async def test_body_and_headers_cross_unchanged_and_in_order(bench: Bench) -> None:
    wire = await bench.connect()
    body = bytes(range(256)) * 40
    await wire.send(post(body, b"X-One: a\r\nx-two:  b\r\nX-One: c\r\nX-Empty:\r\nX-Last: z\r\n"))
    head, answer = await wire.answer()
    sent = bench.upstream.requests[0]
    assert (
        sent
        == (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: %d\r\n"
            b"X-One: a\r\nx-two: b\r\nX-One: c\r\nX-Empty: \r\nX-Last: z\r\n\r\n" % (bench.upstream.port, len(body))
        )
        + body
    )
    assert answer == b"ok"
    assert head == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-own: 1\r\n\r\n"
    exchange = await bench.ended()
    assert (exchange.end, exchange.status, exchange.error_type) == ("finished", 200, None)
    assert exchange.request_body.joined() == body


async def test_hop_by_hop_headers_stay_here(bench: Bench) -> None:
    bench.upstream.answers(
        b"HTTP/1.1 200 OK\r\nConnection: x-mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: 2\r\nContent-Length: 0\r\n\r\n"
    )
    wire = await bench.connect()
    await wire.send(
        b"GET /v1/models HTTP/1.1\r\nHost: gw\r\nConnection: X-Secret\r\nConnection: keep-alive\r\nX-Secret: 1\r\n"
        b"Proxy-Authorization: Basic x\r\nTE: trailers\r\nX-Kept: 3\r\n\r\n"
    )
    head, _ = await wire.answer()
    assert b"x-secret" not in bench.upstream.requests[0].lower()
    assert b"proxy-authorization" not in bench.upstream.requests[0].lower()
    assert b"\r\nX-Kept: 3\r\n" in bench.upstream.requests[0]
    assert b"X-Mine" not in head
    assert b"Keep-Alive" not in head
    assert b"\r\nX-Kept: 2\r\n" in head


async def test_connections_are_kept_on_both_sides(bench: Bench) -> None:
    wire = await bench.connect()
    for _ in range(5):
        await wire.send(post(b"{}"))
        assert (await wire.answer())[1] == b"ok"
    assert bench.upstream.connections == 1
    assert len(bench.handler.all) == 5


async def test_pipelined_requests_are_answered_in_order(bench: Bench) -> None:
    bench.upstream.answers(*(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % n for n in range(4)), b"")
    wire = await bench.connect()
    await wire.send(post(b"a") + GET + post(b"c") + GET)
    assert [(await wire.answer())[1] for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    assert [request.split(b" ")[0] for request in bench.upstream.requests] == [b"POST", b"GET", b"POST", b"GET"]


async def test_a_pipelined_request_may_arrive_in_pieces(bench: Bench) -> None:
    wire = await bench.connect()
    second = post(b"x" * 1000)
    await wire.send(GET + second[:200])
    assert (await wire.answer())[1] == b"ok"
    await wire.send(second[200:])
    assert (await wire.answer())[1] == b"ok"
    assert bench.upstream.requests[1].endswith(b"x" * 1000)


async def test_a_request_may_arrive_byte_by_byte(bench: Bench) -> None:
    wire = await bench.connect()
    for byte in post(b"hello", b"X-A: b\r\n"):
        await wire.send(bytes([byte]))
    assert (await wire.answer())[1] == b"ok"
    assert bench.upstream.requests[0].endswith(b"X-A: b\r\n\r\nhello")


async def test_a_chunked_request_goes_on_with_its_whole_body(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(
        b"POST /v1/x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    )
    assert (await wire.answer())[1] == b"ok"
    assert bench.upstream.requests[0].endswith(b"Content-Length: 7\r\n\r\nabcdefg")


async def test_chunked_answer_keeps_its_bytes(bench: Bench) -> None:
    bench.upstream.answers(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    )
    wire = await bench.connect()
    await wire.send(GET)
    head, body = await wire.answer()
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    captured = (await bench.ended()).response_body
    assert captured is not None
    assert captured.joined() == b"hello world"


async def test_each_event_of_a_stream_passes_as_it_comes(bench: Bench) -> None:
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"8\r\ndata: 1\n\r\n")
        await go.wait()
        writer.write(b"8\r\ndata: 2\n\r\n0\r\n\r\n")

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(GET)
    await wire.until(b"data: 1\n")  # the second event does not exist yet
    go.set()
    assert b"data: 2\n" in await wire.until(b"0\r\n\r\n")


async def test_answer_ended_by_the_connection_reaches_the_client_whole(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall there is")

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(GET)
    head, body = await wire.answer()
    assert b"chunked" in head
    assert body == b"c\r\nall there is\r\n0\r\n\r\n"
    assert (await bench.ended()).end == "finished"


async def test_http10_client_gets_no_chunks(bench: Bench) -> None:
    bench.upstream.answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    wire = await bench.connect()
    await wire.send(b"GET /v1/models HTTP/1.0\r\n\r\n")
    answer = await wire.rest()
    assert answer.endswith(b"\r\n\r\nhi")
    assert b"chunked" not in answer.lower()
    assert b"Connection: close" in answer


async def test_head_with_a_length_does_not_swallow_the_next_answer(bench: Bench) -> None:
    bench.upstream.answers(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
    )
    wire = await bench.connect()
    await wire.send(b"HEAD /v1/models HTTP/1.1\r\nHost: gw\r\n\r\n")
    assert b"Content-Length: 5000" in await wire.until(b"\r\n\r\n")
    await wire.send(GET)
    assert (await wire.answer())[1] == b"yes"
    assert bench.upstream.connections == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body_end_at_once(bench: Bench, status: int) -> None:
    bench.upstream.answers(
        b"HTTP/1.1 %d X\r\nETag: 1\r\n\r\n" % status, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
    )
    wire = await bench.connect()
    await wire.send(GET)
    head = await wire.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status)
    assert b"chunked" not in head.lower()
    await wire.send(GET)
    assert (await wire.answer())[1] == b"yes"


async def test_interim_answers_are_passed_on(bench: Bench) -> None:
    bench.upstream.answers(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )
    wire = await bench.connect()
    await wire.send(GET)
    assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert (await wire.answer())[1] == b"ok"


async def test_expect_continue_is_answered_by_the_gateway(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(b"POST /v1/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await wire.send(b"abc")
    assert (await wire.answer())[1] == b"ok"
    assert b"expect" not in bench.upstream.requests[0].lower()


async def test_upgrade_with_a_body_keeps_the_body_and_the_connection(bench: Bench) -> None:
    wire = await bench.connect()
    h2c = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    for body in (b"first", b"second"):
        await wire.send(post(body, h2c))
        assert (await wire.answer())[1] == b"ok"
    await wire.send(GET)
    assert (await wire.answer())[1] == b"ok"
    assert [request.split(b"\r\n\r\n")[1] for request in bench.upstream.requests] == [b"first", b"second", b""]
    assert b"upgrade" not in bench.upstream.requests[0].lower()


async def test_a_body_beyond_what_is_kept_streams_through(make_bench: MakeBench) -> None:
    bench = await make_bench(capture=10_000)
    wire = await bench.connect()
    body = bytes(i % 251 for i in range(3_000_000))
    await wire.send(post(body))
    assert (await wire.answer())[1] == b"ok"
    assert bench.upstream.requests[0].split(b"\r\n\r\n", 1)[1] == body
    exchange = await bench.ended()
    assert exchange.request_body.truncated
    assert exchange.request_body.size == len(body)
    assert exchange.request_body.joined() == body[:10_000]


async def test_a_chunked_body_beyond_what_is_kept_streams_through(make_bench: MakeBench) -> None:
    bench = await make_bench(capture=10_000)
    wire = await bench.connect()
    piece = bytes(i % 251 for i in range(50_000))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for _ in range(20))
    await wire.send(b"POST /v1/x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert (await wire.answer())[1] == b"ok"
    assert (await bench.ended()).request_body.size == 1_000_000
    assert dechunked(bench.upstream.requests[0].split(b"\r\n\r\n", 1)[1]) == piece * 20


async def test_a_long_answer_is_relayed_whole_and_kept_in_part(make_bench: MakeBench) -> None:
    bench = await make_bench(capture=10_000)
    body = bytes(i % 251 for i in range(2_000_000))
    bench.upstream.answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    wire = await bench.connect()
    await wire.send(GET)
    assert (await wire.answer())[1] == body
    captured = (await bench.ended()).response_body
    assert captured is not None
    assert captured.truncated
    assert (captured.size, captured.joined()) == (len(body), body[:10_000])


async def test_a_slow_client_holds_the_upstream(bench: Bench) -> None:
    sent = 0
    blocked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 80000000\r\n\r\n")
        for _ in range(800):
            writer.write(b"x" * 100_000)
            try:
                async with asyncio.timeout(0.5):
                    await writer.drain()
            except TimeoutError:
                blocked.set()
                await writer.drain()
            sent += 100_000

    bench.upstream.serve = serve
    wire = await bench.connect()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a StreamWriter's transport reads, too
    await wire.send(GET)
    async with asyncio.timeout(10):
        await blocked.wait()
    assert sent < 60_000_000  # what fits into socket buffers, not the whole answer
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
    head = await wire.until(b"\r\n\r\n")
    assert b"200 OK" in head
    assert await wire.exactly(80_000_000) == b"x" * 80_000_000


async def test_root_answers_without_an_exchange(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(b"HEAD / HTTP/1.1\r\nHost: gw\r\n\r\n")
    assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    await wire.send(GET)
    assert (await wire.answer())[1] == b"ok"
    assert len(bench.handler.all) == 1


async def test_a_request_waits_for_its_decision_and_may_be_refused(bench: Bench) -> None:
    decision = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await decision.wait()
        exchange.refusal = Refusal(403, "blocked_by_policy", "no")

    bench.handler.on_ready = wait
    wire = await bench.connect()
    await wire.send(post(b"{}"))
    decision.set()
    head, body = await wire.answer()
    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"x-spangate-code: blocked_by_policy\r\n" in head
    assert body == b'{"error":"blocked_by_policy"}'
    assert bench.upstream.requests == []
    assert (await bench.ended()).end == "blocked"
    bench.handler.on_ready = lambda exchange: None
    await wire.send(GET)  # the connection lives on
    assert (await wire.answer())[1] == b"ok"


async def test_a_failing_decision_is_an_answer_not_a_hang(bench: Bench) -> None:
    async def fail(exchange: Exchange) -> None:
        raise LookupError("a bug")

    bench.handler.on_ready = fail
    wire = await bench.connect()
    await wire.send(post(b"{}"))
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 500")
    assert b"a bug" not in head
    assert (await bench.ended()).error_type == "internal_error"
    assert bench.server.counters()["failures.request"] == 1


async def test_a_bug_in_relaying_an_answer_is_counted(bench: Bench) -> None:
    def fail(exchange: Exchange) -> bytes:
        raise LookupError("a bug")

    bench.handler.response_headers = fail  # type: ignore[method-assign]
    wire = await bench.connect()
    await wire.send(GET)
    assert (await wire.rest()) == b""
    assert bench.server.counters()["failures.answer"] == 1


async def test_draining_lets_a_running_exchange_finish(bench: Bench) -> None:
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    bench.upstream.serve = serve
    idle = await bench.connect()
    wire = await bench.connect()
    await wire.send(GET)
    async with asyncio.timeout(5):
        while not bench.server.relays:
            await asyncio.sleep(0)
    draining = asyncio.create_task(bench.server.drain(5))
    assert await idle.rest() == b""
    release.set()
    head, body = await wire.answer()
    assert body == b"late"
    assert b"Connection: close" in head
    assert await draining == 0
    assert (await bench.ended()).end == "finished"


async def test_the_drain_deadline_cuts_what_is_left(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(GET)
    async with asyncio.timeout(5):
        while not bench.server.relays:
            await asyncio.sleep(0)
    assert await bench.server.drain(0.05) == 1
    assert (await bench.ended()).end == "shutdown"
