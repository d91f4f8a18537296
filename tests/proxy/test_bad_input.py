"""Broken clients and broken upstreams: a clear answer, one truthful end, and the relay lives on."""

import asyncio
import socket
import struct
import time

import pytest

from gateway.model.exchange import Exchange
from gateway.proxy.client import ClientConnection
from gateway.proxy.handler import Origin
from gateway.proxy.upstream import UpstreamConnection
from tests.proxy.conftest import Bench, MakeBench, listening, read_request
from tests.proxy.test_relay import GET, post


@pytest.mark.parametrize(
    ("name", "request_bytes", "status"),
    [
        ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS hello\r\n\r\n", 400),
        ("both framings", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("both framings, reversed", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
        ("two lengths", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400),
        ("two equal lengths", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("length with sign", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd", 400),
        ("length in hex", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd", 400),
        ("chunked twice", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        ("not chunked last", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
        ("gzip transfer coding", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("two transfer codings", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
        ("bad chunk size", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", 400),
        ("chunk longer than said", b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcdef\r\n0\r\n\r\n", 400),
        ("space before the colon", b"GET /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\n", 400),
        ("folded header", b"GET /v1/x HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n", 400),
        ("bare line feeds", b"GET /v1/x HTTP/1.1\nHost: a\n\n", 400),
        ("null in a header", b"GET /v1/x HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n", 400),
        ("no host", b"GET /v1/x HTTP/1.1\r\n\r\n", 400),
        ("two types", b"GET /v1/x HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n", 400),
        ("two hosts", b"GET /v1/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("connect", b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("handshake without a key", b"GET /v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        ("handshake without the connection", b"GET /v1/realtime HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n", 400),
        ("handshake by POST", b"POST /v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n", 400),
        ("handshake with a body", b"GET /v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nContent-Length: 1\r\n\r\nx", 400),
        ("handshake of HTTP/1.0", b"GET /v1/realtime HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n", 400),
        ("HTTP/0.9", b"GET /v1/x\r\n\r\n", 505),
        ("HTTP/2 said in version 1", b"GET /v1/x HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("RTSP", b"DESCRIBE /v1/x RTSP/1.0\r\nHost: a\r\n\r\n", 501),
        ("ICE", b"SOURCE /v1/x ICE/1.0\r\nHost: a\r\n\r\n", 501),
        ("unknown method", b"BREW /v1/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ],
)  # fmt: skip
async def test_what_is_not_plain_http_is_refused_and_remembered(
    bench: Bench, name: str, request_bytes: bytes, status: int
) -> None:
    wire = await bench.connect()
    await wire.send(request_bytes)
    head, body = await wire.answer()
    assert head.startswith(b"HTTP/1.1 %d " % status), name
    assert b"Connection: close" in head
    assert body.startswith(b"{")
    exchange = await bench.ended()
    assert (exchange.end, exchange.status) == ("refused", status)
    wire.close()
    await _still_serves(bench)
    assert len(bench.upstream.requests) == 1  # only the one that was fine


async def _still_serves(bench: Bench) -> None:
    other = await bench.connect()
    await other.send(GET)
    assert (await other.answer())[1] == b"ok"
    assert (await bench.ended()).end == "finished"


async def test_smuggled_request_behind_a_good_one_never_reaches_the_upstream(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(
        post(b"{}") + b"GET /smuggled HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n"
    )
    assert (await wire.answer())[1] == b"ok"
    await wire.rest()
    assert len(bench.upstream.requests) == 1
    await _still_serves(bench)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_head_beyond_the_limit_is_refused(make_bench: MakeBench, whole: bool) -> None:
    bench = await make_bench(header=1024)
    wire = await bench.connect()
    await wire.send(b"GET /v1/x HTTP/1.1\r\nHost: a\r\nX-Big: " + b"a" * 2000 + (b"\r\n\r\n" if whole else b""))
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 431 ")
    assert (await bench.ended()).end == "refused"


async def test_a_body_said_to_be_beyond_the_limit_is_refused_before_it_is_sent(make_bench: MakeBench) -> None:
    bench = await make_bench(body=1000)
    wire = await bench.connect()
    await wire.send(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"x-spangate-code: body_too_large" in head
    assert (await bench.ended()).error_type == "body_too_large"


async def test_a_chunked_body_beyond_the_limit_is_refused_while_it_comes(make_bench: MakeBench) -> None:
    bench = await make_bench(body=1000)
    wire = await bench.connect()
    await wire.send(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    await wire.send(b"400\r\n" + b"a" * 1024 + b"\r\n")
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 413 ")
    assert bench.upstream.requests == []
    assert (await bench.ended()).end == "refused"


async def test_a_refused_client_that_is_still_sending_can_read_why(make_bench: MakeBench) -> None:
    bench = await make_bench(body=1000)
    wire = await bench.connect()
    await wire.send(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
    await wire.send(b"a" * 5_000_000)
    assert (await wire.rest()).startswith(b"HTTP/1.1 413 ")


async def test_slow_loris_is_let_go(make_bench: MakeBench) -> None:
    bench = await make_bench(header_s=0.1)
    wire = await bench.connect()
    await wire.send(b"GET /v1/x HTTP/1.1\r\nHo")
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 408 ")


async def test_a_connection_that_says_nothing_is_closed(make_bench: MakeBench) -> None:
    bench = await make_bench(header_s=0.1, keep_alive_s=0.1)
    wire = await bench.connect()
    assert await wire.rest() == b""
    wire = await bench.connect()
    await wire.send(GET)
    await wire.answer()
    assert await wire.rest() == b""


async def test_a_body_that_does_not_come_is_let_go(make_bench: MakeBench) -> None:
    bench = await make_bench(request_s=0.1, header_s=0.1)
    wire = await bench.connect()
    await wire.send(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 408 ")
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type) == ("refused", "request_timeout")


async def test_a_client_that_never_reads_is_let_go_and_upstream_is_cancelled(make_bench: MakeBench) -> None:
    bench = await make_bench(write_s=0.1, header_s=0.2)
    bench.upstream.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 80000000\r\n\r\n" + b"x" * 80_000_000)
    sock = socket.create_connection(("127.0.0.1", bench.port))
    try:
        sock.sendall(GET)
        exchange = await bench.ended()
        assert (exchange.end, exchange.error_type) == ("client_gone", "client_too_slow")
    finally:
        sock.close()


async def test_more_connections_than_allowed_are_told_to_come_back(make_bench: MakeBench) -> None:
    bench = await make_bench(connections=2)
    wires = [await bench.connect() for _ in range(2)]
    for wire in wires:
        await wire.send(GET)
        await wire.answer()
    head, _ = await (await bench.connect()).answer()
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in head


async def test_a_refused_route_keeps_the_connection(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(b"GET /refused HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 404 ")
    await wire.send(GET)
    assert (await wire.answer())[1] == b"ok"


# Upstreams


async def test_refusing_upstream_is_a_502(bench: Bench) -> None:
    sock = listening()
    port = sock.getsockname()[1]
    sock.close()
    bench.handler.origin = Origin("127.0.0.1", port)
    wire = await bench.connect()
    await wire.send(post(b"{}"))
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"x-spangate-code: upstream_unreachable" in head
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type, exchange.status) == ("upstream_gone", "connect_error", 502)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".invalid", "a..invalid"])
async def test_a_name_that_does_not_resolve_is_a_502(bench: Bench, host: str) -> None:
    bench.handler.origin = Origin(host, 80)
    wire = await bench.connect()
    await wire.send(post(b"{}"))
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 502 ")
    assert (await bench.ended()).end == "upstream_gone"


async def test_upstream_that_hangs_before_answering_is_a_504(make_bench: MakeBench) -> None:
    bench = await make_bench(first_byte_s=0.1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        assert await reader.read() == b""
        bench.upstream.closed.put_nowait("gone")

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post(b"{}"))
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 504 ")
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type) == ("timeout", "first_byte_timeout")
    async with asyncio.timeout(5):
        assert await bench.upstream.closed.get() == "gone"


async def test_upstream_that_hangs_inside_a_stream_is_cut_visibly(make_bench: MakeBench) -> None:
    bench = await make_bench(idle_s=0.1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await reader.read()

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(GET)
    answer = await wire.rest()
    assert answer.endswith(b"5\r\nhello\r\n")  # and no last chunk: the client can tell that it is not complete
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type) == ("timeout", "idle_timeout")
    assert exchange.response_body is not None
    assert exchange.response_body.joined() == b"hello"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_upstream_that_closes_mid_body_is_cut_visibly(bench: Bench, answer: bytes, reset: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        if reset:
            await bench.upstream.closed.get()
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(GET)
    await wire.until(b"only this")
    bench.upstream.closed.put_nowait("now")
    await wire.rest()
    exchange = await bench.ended()
    assert exchange.end == "upstream_gone"
    assert exchange.error_type == ("upstream_reset" if reset else "upstream_closed")
    assert exchange.response_body is not None
    assert exchange.response_body.joined() == b"only this"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02 not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxxxx",
        b"HTTP/1.1 200 OK\r\nX-Big: " + b"a" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Big: " + b"a" * 70_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_garbage_from_upstream_is_a_502(bench: Bench, garbage: bytes) -> None:
    bench.upstream.answers(garbage)
    wire = await bench.connect()
    await wire.send(GET)
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 502 ")
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type) == ("upstream_gone", "bad_upstream_response")


async def test_bytes_behind_an_answer_never_become_the_next_answer(bench: Bench) -> None:
    bench.upstream.answers(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    wire = await bench.connect()
    await wire.send(GET + GET)
    assert (await wire.answer())[1] == b"ok"
    assert (await wire.answer())[1] == b"ok"
    assert bench.upstream.connections == 2


async def test_a_length_named_in_connection_is_not_taken_away(bench: Bench) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    wire = await bench.connect()
    await wire.send(post(smuggled, b"Connection: content-length, host\r\n"))
    assert (await wire.answer())[1] == b"ok"
    await wire.send(GET)
    assert (await wire.answer())[1] == b"ok"
    assert [request.split(b" ")[1] for request in bench.upstream.requests] == [b"/v1/chat/completions", b"/v1/models"]
    assert b"\r\nHost: " in bench.upstream.requests[0]


async def test_an_answer_keeps_the_length_that_its_connection_header_names(bench: Bench) -> None:
    bench.upstream.answers(b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello")
    wire = await bench.connect()
    await wire.send(GET)
    assert (await wire.answer())[1] == b"hello"


async def test_nobody_upstream_speaks_for_the_gateway(bench: Bench) -> None:
    bench.upstream.answers(b"HTTP/1.1 200 OK\r\nX-Spangate-Code: forged\r\nContent-Length: 2\r\n\r\nok")
    wire = await bench.connect()
    await wire.send(GET)
    assert b"forged" not in (await wire.answer())[0]


async def test_an_interim_answer_speaks_for_nobody_but_its_sender_either(bench: Bench) -> None:
    bench.upstream.answers(
        b"HTTP/1.1 103 Early Hints\r\nX-Spangate-Session: forged\r\nConnection: x-hop\r\nX-Hop: forged\r\nLink: </a>\r\n"
        b"Content-Length: 30\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )
    wire = await bench.connect()
    await wire.send(GET)
    interim, _ = await wire.answer()
    assert b"103" in interim
    assert b"Link: </a>" in interim
    assert b"forged" not in interim
    assert b"Content-Length" not in interim
    assert (await wire.answer())[1] == b"ok"


async def test_endless_trailers_of_a_request_are_refused(make_bench: MakeBench) -> None:
    bench = await make_bench(header=4096)
    wire = await bench.connect()
    await wire.send(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: ")
    for _ in range(600):  # what comes in one read with the body's end, 256 KiB at most, is not counted
        await wire.send(b"a" * 1000)
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 431 ")
    assert (await bench.ended()).end == "refused"


async def test_endless_trailers_of_an_answer_are_cut(make_bench: MakeBench) -> None:
    bench = await make_bench(header=4096)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: ")
        for _ in range(100):
            writer.write(b"a" * 1000)
            await writer.drain()
        await reader.read()

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(GET)
    await wire.rest()
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type) == ("upstream_gone", "bad_upstream_response")


class StillTransport(asyncio.Transport):
    """Takes everything, says nothing; remembers whether it was told to stop reading."""

    reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


async def test_a_client_still_full_from_the_last_answer_holds_the_next_upstream_too(bench: Bench) -> None:
    upstream, client = (
        UpstreamConnection(bench.server.pool, bench.handler.origin, bench.server.limits),
        StillTransport(),
    )
    below = StillTransport()
    upstream.connection_made(below)
    bench.server.pool.give_back(upstream)
    connection = ClientConnection(bench.server)
    connection.connection_made(client)
    connection.pause_writing()
    connection.data_received(GET)
    while_full = below.reading
    connection.resume_writing()
    assert (while_full, below.reading) == (False, True)
    connection.connection_lost(None)


async def test_of_a_body_that_comes_fast_only_so_much_is_read_in_one_turn(bench: Bench) -> None:
    client, connection = StillTransport(), ClientConnection(bench.server)
    connection.connection_made(client)
    connection.data_received(b"POST /v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    seen = []
    for data in (b"1\r\na\r\n" * 100, b"1\r\na\r\n" * 40_000, b"1\r\na\r\n" * 40_000):
        connection.data_received(data)
        seen.append(client.reading)
        await asyncio.sleep(0)
        seen.append(client.reading)
    assert seen == [True, True, False, True, False, True]
    connection.connection_lost(None)


async def test_what_a_refused_client_still_sends_is_read_although_much_came_at_once(bench: Bench) -> None:
    client, connection = StillTransport(), ClientConnection(bench.server)
    connection.connection_made(client)
    connection.data_received(b"POST /v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.data_received(b"1\r\na\r\n" * 40_000)
    connection.data_received(b"no chunk\r\n")
    await asyncio.sleep(0)
    assert (connection.closing, client.reading) == (True, True)
    connection.connection_lost(None)


@pytest.mark.parametrize("behind", [1, 100])
async def test_a_client_that_leaves_with_requests_pipelined_is_noticed(bench: Bench, behind: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()
        bench.upstream.closed.put_nowait("cancelled")

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(GET + GET * behind)
    async with asyncio.timeout(5):
        while not bench.upstream.connections:
            await asyncio.sleep(0)
    wire.close()
    assert (await bench.ended()).end == "client_gone"
    async with asyncio.timeout(5):
        assert await bench.upstream.closed.get() in ("cancelled", "gone")


@pytest.mark.parametrize("polite", [True, False])
async def test_a_client_that_leaves_while_somebody_decides_is_noticed(bench: Bench, polite: bool) -> None:
    forgotten = asyncio.Event()

    async def decide(exchange: Exchange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            forgotten.set()

    bench.handler.on_ready = decide
    wire = await bench.connect()
    await wire.send(post(b"{}"))
    async with asyncio.timeout(5):
        while not bench.server.relays:
            await asyncio.sleep(0)
    wire.close() if polite else wire.abort()
    assert (await bench.ended()).end == "client_gone"
    async with asyncio.timeout(5):
        await forgotten.wait()


async def test_a_client_that_is_held_and_stays_is_not_taken_for_gone(make_bench: MakeBench) -> None:
    bench = await make_bench(header_s=0.1)  # so that it is looked at often
    go_on = asyncio.Event()

    async def decide(exchange: Exchange) -> None:
        await go_on.wait()

    bench.handler.on_ready = decide
    wire = await bench.connect()
    await wire.send(post(b"{}"))
    swept = bench.server.pool.now
    async with asyncio.timeout(5):
        while bench.server.pool.now < swept + 0.2:
            await asyncio.sleep(0.01)
    go_on.set()
    assert (await wire.answer())[1] == b"ok"


async def test_a_storm_of_upgrades_is_no_recursion(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(b"GET /v1/x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n" * 800)
    for _ in range(800):
        assert (await wire.answer())[1] == b"ok"


async def test_no_interim_answer_comes_behind_the_final_one(bench: Bench) -> None:
    bench.upstream.answers(b"HTTP/1.1 103 Early\r\nX-Forged: 1\r\n\r\nGARBAGE")
    wire = await bench.connect()
    await wire.send(GET)
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 502 ")
    wire.writer.write_eof()
    assert await wire.rest() == b""


async def test_the_root_in_a_pipeline_does_not_stop_it(bench: Bench) -> None:
    root = b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n"
    wire = await bench.connect()
    await wire.send(GET + root)
    assert (await wire.answer())[1] == b"ok"
    await wire.answer()
    await wire.send(GET)
    assert (await wire.answer())[1] == b"ok"


async def test_a_kept_connection_that_has_died_costs_one_silent_retry(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bench.upstream.requests.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        if bench.upstream.connections == 1:
            await read_request(reader)  # takes the second request and closes without a word

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post(b"first"))
    await wire.answer()
    await wire.send(post(b"second"))
    assert (await wire.answer())[1] == b"ok"
    exchanges = [await bench.ended(), await bench.ended()]
    assert [exchange.retried for exchange in exchanges] == [False, True]
    assert [exchange.end for exchange in exchanges] == ["finished", "finished"]


async def test_what_a_dead_connection_took_is_not_called_the_gateways_own_time(bench: Bench) -> None:
    held_ns = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal held_ns
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        if bench.upstream.connections == 1:
            await read_request(reader)
            began_ns = time.perf_counter_ns()
            while time.perf_counter_ns() - began_ns < 50_000_000:
                await asyncio.sleep(0)
            held_ns = time.perf_counter_ns() - began_ns

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post(b"first"))
    await wire.answer()
    await wire.send(post(b"second"))
    await wire.answer()
    await bench.ended()
    exchange = await bench.ended()
    assert exchange.retried
    assert exchange.overhead_ns <= exchange.duration_ns - held_ns


async def test_a_fresh_connection_that_dies_is_not_retried(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post(b"{}"))
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 502 ")
    assert bench.upstream.connections == 1
    assert (await bench.ended()).error_type == "upstream_closed"


async def test_an_answer_that_began_is_not_retried(bench: Bench) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bench.upstream.requests.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        bench.upstream.requests.append(await read_request(reader))
        writer.write(b"HTTP/1.1 20")

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(post(b"first"))
    await wire.answer()
    await wire.send(post(b"second"))
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 502 ")
    assert bench.upstream.connections == 1


@pytest.mark.parametrize("polite", [True, False])
async def test_upstream_is_cancelled_when_the_client_leaves(bench: Bench, polite: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n")
        try:
            await reader.read()
        finally:
            bench.upstream.closed.put_nowait("cancelled")

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(GET)
    await wire.until(b"data: 1\n")
    wire.close() if polite else wire.abort()
    exchange = await bench.ended()
    assert exchange.end == "client_gone"
    assert exchange.response_body is not None
    assert exchange.response_body.joined() == b"data: 1\n"
    async with asyncio.timeout(5):
        assert await bench.upstream.closed.get() == "cancelled"


async def test_a_client_that_leaves_while_we_connect_ends_its_exchange(make_bench: MakeBench) -> None:
    bench = await make_bench(connect_s=30.0)
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:  # a full backlog: the handshake of whoever comes now hangs
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
    bench.handler.origin = Origin("127.0.0.1", full.getsockname()[1])
    try:
        wire = await bench.connect()
        await wire.send(post(b"{}"))
        while not bench.server.relays:
            await asyncio.sleep(0)
        wire.abort()
        assert (await bench.ended()).end == "client_gone"
    finally:
        full.close()
        for filler in fillers:
            filler.close()


async def test_a_connection_that_cannot_be_made_in_time_is_a_504(make_bench: MakeBench) -> None:
    bench = await make_bench(connect_s=0.1)
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
    bench.handler.origin = Origin("127.0.0.1", full.getsockname()[1])
    try:
        wire = await bench.connect()
        await wire.send(post(b"{}"))
        assert (await wire.answer())[0].startswith(b"HTTP/1.1 504 ")
        assert (await bench.ended()).error_type == "connect_timeout"
    finally:
        full.close()
        for filler in fillers:
            filler.close()


async def test_an_answer_before_the_request_is_complete_ends_both_connections(make_bench: MakeBench) -> None:
    bench = await make_bench(capture=10_000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Big\r\nContent-Length: 3\r\n\r\nbig")
        try:
            await reader.read()
        finally:
            bench.upstream.closed.put_nowait("closed")

    bench.upstream.serve = serve
    wire = await bench.connect()
    await wire.send(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 20_000)
    head, body = await wire.answer()
    assert head.startswith(b"HTTP/1.1 413 Too Big\r\n")
    assert b"Connection: close" in head
    assert body == b"big"
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type) == ("upstream_error", "413")
    async with asyncio.timeout(5):
        await bench.upstream.closed.get()
