"""An amended exchange between raw sockets: usage is asked for and hidden, and everything else is as in any other."""

import asyncio
import gzip
from collections import Counter

import pytest

from gateway.receivers.llm_usage import UsageInjection
from tests.proxy.conftest import Bench, MakeBench, dechunked, read_request

BODY = b'{"model":"m","stream":true}'
ASKING = b'{"stream_options":{"include_usage":true},"model":"m","stream":true}'
CHUNK = b'data: {"choices":[{"delta":{"content":"hi"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = CHUNK + b": ping\r\n\r\n" + USAGE + DONE
SHOWN = CHUNK + b": ping\r\n\r\n" + DONE
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED = SSE + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def counters() -> Counter[str]:
    return Counter()


@pytest.fixture
async def bench(make_bench: MakeBench, counters: Counter[str]) -> Bench:
    return await amending(make_bench, counters)


async def amending(make_bench: MakeBench, counters: Counter[str], **limits: object) -> Bench:
    bench = await make_bench(**limits)
    bench.handler.amendment = UsageInjection(counters)
    bench.upstream.answers(CHUNKED + framed(STREAM) + b"0\r\n\r\n")
    return bench


def post(body: bytes = BODY, extra: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST /v1/chat/completions HTTP/%b\r\nHost: gw\r\ncontent-LENGTH: %d\r\n%b\r\n%b" % (
        version,
        len(body),
        extra,
        body,
    )


def framed(data: bytes, size: int = 7) -> bytes:
    """In chunks that respect no event's borders."""
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])


async def test_usage_is_asked_for_and_every_other_event_arrives_as_it_was(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(post(extra=b"X-One: a\r\nACCEPT-encoding: gzip\r\nAccept-Encoding: br\r\nX-Two: b\r\n"))
    head, body = await wire.answer()
    assert bench.upstream.requests == [
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\ncontent-LENGTH: %d\r\n"
        b"X-One: a\r\nX-Two: b\r\nAccept-Encoding: identity\r\n\r\n%b" % (bench.upstream.port, len(ASKING), ASKING)
    ]
    assert dechunked(body) == SHOWN
    assert head == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        b"x-own: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    exchange = await bench.ended()
    assert (exchange.end, exchange.usage_injected) == ("finished", True)
    assert exchange.first_byte_ns


async def test_what_is_captured_is_what_the_client_sent_and_what_the_model_answered(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(post())
    await wire.answer()
    exchange = await bench.ended()
    assert exchange.request_body.joined() == BODY
    assert exchange.response_body is not None
    assert exchange.response_body.joined() == STREAM


async def test_a_chunked_request_is_asked_with_the_length_it_then_has(bench: Bench) -> None:
    wire = await bench.connect()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n"
    await wire.send(head + framed(BODY, 5) + b"0\r\n\r\n")
    assert dechunked((await wire.answer())[1]) == SHOWN
    (sent,) = bench.upstream.requests
    assert sent.endswith(b"Accept-Encoding: identity\r\nContent-Length: %d\r\n\r\n%b" % (len(ASKING), ASKING))


async def test_each_event_leaves_when_it_is_whole_and_half_a_one_waits(bench: Bench) -> None:
    go, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + framed(b"data: 1\n\ndata: ", 100))
        await go.wait()
        writer.write(framed(b"2\n\n", 100))
        await gone.wait()
        writer.write(framed(USAGE[:20], 100))
        await writer.drain()
        writer.write(framed(USAGE[20:] + DONE, 100) + b"0\r\n\r\n")

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post())
    await wire.until(b"\r\n\r\n")
    assert await wire.until(b"\n\n\r\n") == b"9\r\ndata: 1\n\n\r\n"  # what follows does not exist yet
    go.set()
    assert await wire.until(b"\n\n\r\n") == b"9\r\ndata: 2\n\n\r\n"
    gone.set()
    assert await wire.until(b"0\r\n\r\n") == b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


async def test_an_answer_with_a_length_is_chunked_without_it_and_both_connections_live_on(bench: Bench) -> None:
    bench.upstream.answers(SSE + b"content-length: %d\r\nX-Kept: 1\r\n\r\n%b" % (len(STREAM), STREAM))
    wire = await bench.connect()
    for _ in range(2):
        await wire.send(post())
        head, body = await wire.answer()
        assert b"content-length" not in head.lower()
        assert b"X-Kept: 1\r\n" in head
        assert dechunked(body) == SHOWN
    assert bench.upstream.connections == 1
    assert b"content-length" in dict((await bench.ended()).response_headers)


async def test_headers_beside_the_length_cross_or_stay_as_ever(bench: Bench) -> None:
    odd = b"X-Twice: 1\r\nConnection: x-mine\r\nX-Twice: 2\r\nX-Mine: 3\r\nx-spangate-outcome: forged\r\nX-Last: 4\r\n"
    bench.upstream.answers(SSE + odd + b"Content-Length: %d\r\n\r\n%b" % (len(STREAM), STREAM))
    wire = await bench.connect()
    await wire.send(post())
    head, body = await wire.answer()
    assert dechunked(body) == SHOWN
    assert head == SSE + b"X-Twice: 1\r\nX-Twice: 2\r\nX-Last: 4\r\nx-own: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    exchange = await bench.ended()
    assert len(exchange.response_headers) == 8
    assert exchange.response_header_map[b"content-length"] == b"%d" % len(STREAM)


@pytest.mark.parametrize("framing", [b"Content-Length: %d\r\n\r\n" % len(STREAM), b"Connection: close\r\n\r\n"])
async def test_an_http10_client_gets_the_stream_until_the_connection_closes(bench: Bench, framing: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SSE + framing + STREAM)

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post(version=b"1.0", extra=b"Connection: keep-alive\r\n"))
    head, _, body = (await wire.rest()).partition(b"\r\n\r\n")
    assert body == SHOWN
    assert b"Connection: close" in head
    assert b"content-length" not in head.lower()
    assert b"chunked" not in head.lower()


async def test_an_answer_ended_by_the_connection_is_whole_without_its_last_blank_line(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SSE + b"\r\n" + STREAM[:-2])

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post())
    assert dechunked((await wire.answer())[1]) == SHOWN[:-2]
    assert (await bench.ended()).end == "finished"


async def test_an_answer_that_is_encoded_all_the_same_passes_untouched_and_is_counted(
    bench: Bench, counters: Counter[str]
) -> None:
    encoded = gzip.compress(STREAM)
    bench.upstream.answers(SSE + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(encoded), encoded))
    wire = await bench.connect()
    await wire.send(post())
    assert (await wire.answer())[1] == encoded
    assert counters == {"usage_not_hidden": 1}
    assert (await bench.ended()).usage_injected


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n" + b'{"error":{}}',
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n" + b'{"choices":1',
        b"HTTP/1.1 500 No\r\nContent-Type: text/event-stream\r\nContent-Length: 12\r\n\r\n" + b"event: error",
    ],
)
async def test_an_answer_that_is_no_stream_keeps_its_length(
    bench: Bench, counters: Counter[str], answer: bytes
) -> None:
    bench.upstream.answers(answer)
    wire = await bench.connect()
    await wire.send(post())
    head, body = await wire.answer()
    assert b"Content-Length: 12\r\n" in head
    assert body == answer[-12:]
    assert not counters


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b'{"model":"m"}', b""),
        (b'{"model":"m","stream":false}', b""),
        (b'{"stream":true,"stream_options":{"include_usage":true}}', b""),
        (b'{"stream":true,"stream_options":{"include_usage":false}}', b""),
        (b"not json", b""),
        (b"", b""),
        (gzip.compress(BODY), b"Content-Encoding: gzip\r\n"),
        (BODY, b"Content-Encoding: identity\r\n"),
        (BODY, b"Content-Digest: sha-256=:x:\r\n"),
        (BODY, b"X-Amz-Date: 20260101T000000Z\r\n"),
    ],
)
async def test_a_request_that_stays_as_it_is_gets_its_answer_as_it_is(bench: Bench, body: bytes, header: bytes) -> None:
    wire = await bench.connect()
    await wire.send(post(body, header + b"Accept-Encoding: gzip\r\n"))
    assert dechunked((await wire.answer())[1]) == STREAM
    (sent,) = bench.upstream.requests
    assert sent.endswith(b"\r\nAccept-Encoding: gzip\r\n\r\n" + body)
    assert not (await bench.ended()).usage_injected


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_request_too_big_to_hold_stays_as_it_is(
    make_bench: MakeBench, counters: Counter[str], chunked: bool
) -> None:
    bench = await amending(make_bench, counters, capture=10_000)
    body = b'{"stream":true,"a":"' + b"x" * 300_000 + b'"}'
    wire = await bench.connect()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n"
    await wire.send(head + framed(body, 50_000) + b"0\r\n\r\n" if chunked else post(body))
    assert dechunked((await wire.answer())[1]) == STREAM
    sent = bench.upstream.requests[0].split(b"\r\n\r\n", 1)[1]
    assert (dechunked(sent) if chunked else sent) == body


async def test_where_the_upstream_is_lost_what_was_held_comes_and_then_the_cut(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + framed(CHUNK + b"data: {", 1000))

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post())
    answer = await wire.rest()
    assert dechunked(answer.split(b"\r\n\r\n", 1)[1]) == CHUNK + b"data: {"
    assert not answer.endswith(b"0\r\n\r\n")
    assert (await bench.ended()).end == "upstream_gone"


@pytest.mark.parametrize(("left", "comes"), [(b"data: {", b"data: {"), (USAGE[:-1], b"")])
async def test_where_the_upstream_falls_silent_what_was_held_comes_unless_it_is_the_usage(
    make_bench: MakeBench, counters: Counter[str], left: bytes, comes: bytes
) -> None:
    bench = await amending(make_bench, counters, idle_s=0.1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + framed(CHUNK + left, 1000))
        await reader.read()

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post())
    answer = await wire.rest()
    assert dechunked(answer.split(b"\r\n\r\n", 1)[1]) == CHUNK + comes
    assert not answer.endswith(b"0\r\n\r\n")
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type) == ("timeout", "idle_timeout")
    assert exchange.response_body is not None
    assert exchange.response_body.joined() == CHUNK + left


async def test_a_kept_connection_that_died_is_replaced_and_asked_the_same(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bench.upstream.requests.append(await read_request(reader))
        writer.write(CHUNKED + framed(STREAM) + b"0\r\n\r\n")
        if bench.upstream.connections == 1:
            bench.upstream.requests.append(await read_request(reader))

    bench.upstream.serve = serve
    wire = await bench.connect()
    for _ in range(2):
        await wire.send(post())
        assert dechunked((await wire.answer())[1]) == SHOWN
    assert [request.split(b"\r\n\r\n")[1] for request in bench.upstream.requests] == [ASKING] * 3
    assert [(await bench.ended()).retried for _ in range(2)] == [False, True]


async def test_a_client_that_leaves_cancels_the_upstream(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + framed(CHUNK + b"data: {", 1000))
        assert await reader.read() == b""
        bench.upstream.closed.put_nowait("gone")

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post())
    await wire.until(CHUNK)
    wire.close()
    async with asyncio.timeout(5):
        assert await bench.upstream.closed.get() == "gone"
    exchange = await bench.ended()
    assert exchange.end == "client_gone"
    assert exchange.response_body is not None
    assert exchange.response_body.joined().startswith(CHUNK)


async def test_a_slow_client_holds_the_upstream(bench: Bench) -> None:
    blocked = asyncio.Event()
    event = b"data: " + b"x" * 99_992 + b"\n\n"
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(CHUNKED)
        for _ in range(400):
            writer.write(framed(event, len(event)))
            try:
                async with asyncio.timeout(0.5):
                    await writer.drain()
            except TimeoutError:
                blocked.set()
                await writer.drain()
            sent += len(event)
        writer.write(framed(USAGE + DONE) + b"0\r\n\r\n")

    bench.upstream.serve = serve
    wire = await bench.connect()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a StreamWriter's transport reads, too
    await wire.send(post())
    async with asyncio.timeout(10):
        await blocked.wait()
    assert sent < 30_000_000  # what fits into socket buffers, not the whole answer
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
    await wire.until(b"\r\n\r\n")
    events = [await wire.until(b"\n\n") for _ in range(400)]
    assert all(event.count(b"x") == 99_992 for event in events)
    last = await wire.until(b"0\r\n\r\n")
    assert DONE in last
    assert b"usage" not in last
