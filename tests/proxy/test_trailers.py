"""Trailers cross both ways where there are chunks on both sides; what must stand in front of a body does not."""

import pytest

from gateway.proxy.headers import trailer_lines
from tests.proxy.conftest import Bench, MakeBench
from tests.proxy.test_relay import GET

CHUNKED = b"POST /v1/x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
GOOD = b"X-Checksum: abc\r\nx-cost:  0.1\r\nX-Empty: \r\nX-Checksum: def\r\n"
RELAYED = b"X-Checksum: abc\r\nx-cost: 0.1\r\nX-Empty: \r\nX-Checksum: def\r\n"
FORBIDDEN = [
    *("Host: evil", "Connection: close", "Keep-Alive: a", "Trailer: X-A", "TE: a"),
    *("Authorization: Bearer k", "Set-Cookie: a=b", "Cookie: a=b", "Content-Type: a/b", "Content-Encoding: gzip"),
    *("Cache-Control: no-store", "Retry-After: 1", "Location: /", "Expect: 100-continue", "Upgrade: websocket"),
    *("X-Spangate-Session-Id: s1", "x-spangate-outcome: allowed", "Proxy-Authorization: Basic x", "X-Named: 1"),
]


async def test_trailers_of_a_request_cross(bench: Bench) -> None:
    wire = await bench.connect()
    for _ in range(2):
        await wire.send(CHUNKED + b"Trailer: X-Checksum\r\n\r\n3\r\nabc\r\n0\r\n" + GOOD + b"\r\n")
        assert (await wire.answer())[1] == b"ok"
    for sent in bench.upstream.requests:
        head, _, body = sent.partition(b"\r\n\r\n")
        assert head.endswith(b"\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum")
        assert b"Content-Length" not in head
        assert body == b"3\r\nabc\r\n0\r\n" + RELAYED + b"\r\n"
    assert (await bench.ended()).request_body.joined() == b"abc"


async def test_trailers_of_a_request_cross_wherever_the_network_cuts_them(bench: Bench) -> None:
    wire = await bench.connect()
    for byte in CHUNKED + b"\r\n3\r\nabc\r\n0\r\n" + GOOD + b"\r\n":
        await wire.send(bytes([byte]))
    await wire.answer()
    assert bench.upstream.requests[0].endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n" + RELAYED + b"\r\n")


async def test_trailers_of_an_empty_request_cross(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(CHUNKED + b"\r\n0\r\n" + GOOD + b"\r\n")
    await wire.answer()
    assert bench.upstream.requests[0].endswith(b"\r\n\r\n0\r\n" + RELAYED + b"\r\n")


async def test_trailers_of_a_request_that_streams_through_cross(make_bench: MakeBench) -> None:
    bench = await make_bench(capture=1000)
    wire = await bench.connect()
    piece = b"3e8\r\n" + b"a" * 1000 + b"\r\n"
    await wire.send(CHUNKED + b"\r\n" + piece * 3)
    while not bench.upstream.connections:
        await wire.send(piece)
    await wire.send(b"0\r\n" + GOOD + b"\r\n")
    await wire.answer()
    assert bench.upstream.requests[0].endswith(b"\r\n0\r\n" + RELAYED + b"\r\n")


async def test_trailers_of_a_pipelined_request_stay_its_own(bench: Bench) -> None:
    bench.upstream.answers(*(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % n for n in range(4)))
    wire = await bench.connect()
    one = CHUNKED + b"\r\n1\r\na\r\n0\r\nX-Of: one\r\n\r\n"
    two = CHUNKED + b"\r\n1\r\nb\r\n0\r\nX-Of: two\r\n\r\n"
    await wire.send(one + two + GET + two)
    assert [(await wire.answer())[1] for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    ends = [request.rpartition(b"\r\n0\r\n")[2] for request in bench.upstream.requests]
    assert [ends[0], ends[1], ends[3]] == [b"X-Of: one\r\n\r\n", b"X-Of: two\r\n\r\n", b"X-Of: two\r\n\r\n"]
    assert b"X-Of" not in bench.upstream.requests[2]


async def test_trailers_behind_an_upgrade_that_is_not_taken_up_cross(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(CHUNKED + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n3\r\nabc\r\n0\r\n" + GOOD + b"\r\n" + GET)
    await wire.answer()
    await wire.answer()
    assert bench.upstream.requests[0].endswith(b"3\r\nabc\r\n0\r\n" + RELAYED + b"\r\n")


@pytest.mark.parametrize("trailer", FORBIDDEN)
async def test_what_must_stand_in_front_of_a_request_does_not_come_behind_it(bench: Bench, trailer: str) -> None:
    wire = await bench.connect()
    await wire.send(
        CHUNKED + b"Connection: X-Named\r\n\r\n3\r\nabc\r\n0\r\n" + trailer.encode() + b"\r\nX-Kept: 1\r\n\r\n"
    )
    await wire.answer()
    assert bench.upstream.requests[0].endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nX-Kept: 1\r\n\r\n")


@pytest.mark.parametrize("framing", [b"Content-Length: 3", b"Transfer-Encoding: chunked"])
async def test_a_second_framing_behind_a_request_is_refused(bench: Bench, framing: bytes) -> None:
    wire = await bench.connect()
    await wire.send(CHUNKED + b"\r\n3\r\nabc\r\n0\r\n" + framing + b"\r\n\r\n")
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 400 ")
    assert bench.upstream.requests == []


async def test_where_no_trailer_may_cross_a_held_request_keeps_its_length(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(CHUNKED + b"\r\n3\r\nabc\r\n0\r\nHost: evil\r\n\r\n")
    await wire.answer()
    assert bench.upstream.requests[0].endswith(b"\r\nContent-Length: 3\r\n\r\nabc")


def test_what_the_receiver_withholds_stays_here_as_a_trailer_too() -> None:
    trailers = [(b"X-Api-Key", b"sg-1"), (b"X-User-Id", b"u"), (b"x-kept", b"1")]
    assert trailer_lines(trailers, {}, frozenset({b"x-api-key", b"x-user-id"})) == b"x-kept: 1\r\n"


async def test_trailers_of_an_answer_cross(bench: Bench) -> None:
    bench.upstream.answers(
        ANSWER + b"Trailer: X-Checksum\r\n\r\n2\r\nhi\r\n0\r\n" + GOOD + b"\r\n",
        ANSWER + b"\r\n2\r\nho\r\n0\r\n\r\n",
    )
    wire = await bench.connect()
    await wire.send(GET)
    head, body = await wire.answer()
    assert b"\r\nTrailer: X-Checksum\r\n" in head
    assert body == b"2\r\nhi\r\n0\r\n" + RELAYED + b"\r\n"
    await wire.send(GET)
    assert (await wire.answer())[1] == b"2\r\nho\r\n0\r\n\r\n"
    assert bench.upstream.connections == 1
    exchange = await bench.ended()
    assert exchange.end == "finished"
    assert exchange.response_body is not None
    assert exchange.response_body.joined() == b"hi"


@pytest.mark.parametrize("trailer", FORBIDDEN)
async def test_what_must_stand_in_front_of_an_answer_does_not_come_behind_it(bench: Bench, trailer: str) -> None:
    bench.upstream.answers(
        ANSWER + b"Connection: X-Named\r\n\r\n2\r\nhi\r\n0\r\n" + trailer.encode() + b"\r\nX-Kept: 1\r\n\r\n"
    )
    wire = await bench.connect()
    await wire.send(GET)
    assert (await wire.answer())[1] == b"2\r\nhi\r\n0\r\nX-Kept: 1\r\n\r\n"


async def test_a_client_that_knows_no_chunks_gets_no_trailers(bench: Bench) -> None:
    bench.upstream.answers(ANSWER + b"Trailer: X-Checksum\r\n\r\n2\r\nhi\r\n0\r\n" + GOOD + b"\r\n")
    wire = await bench.connect()
    await wire.send(b"GET /v1/models HTTP/1.0\r\n\r\n")
    head, _, body = (await wire.rest()).partition(b"\r\n\r\n")
    assert body == b"hi"
    assert b"Trailer" not in head
    assert (await bench.ended()).end == "finished"


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        (b"TE: trailers\r\n", True),
        (b"TE: gzip, Trailers\r\nConnection: TE\r\n", True),
        (b"TE: gzip\r\n", False),
        (b"", False),
    ],
)
async def test_an_upstream_is_told_that_trailers_are_welcome_by_who_welcomes_them(
    bench: Bench, said: bytes, sent: bool
) -> None:
    wire = await bench.connect()
    await wire.send(b"GET /v1/models HTTP/1.1\r\nHost: gw\r\n" + said + b"\r\n")
    await wire.answer()
    assert (b"\r\nTE: trailers\r\nConnection: TE\r\n" in bench.upstream.requests[0]) is sent
    assert b"gzip" not in bench.upstream.requests[0]


MANY = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 50) for number in range(200))


async def test_too_many_trailers_of_a_request_are_refused_even_in_one_piece(make_bench: MakeBench) -> None:
    bench = await make_bench(header=4096)
    wire = await bench.connect()
    await wire.send(CHUNKED + b"\r\n2\r\nhi\r\n0\r\n" + MANY + b"\r\n")
    assert (await wire.answer())[0].startswith(b"HTTP/1.1 431 ")
    assert (await bench.ended()).end == "refused"
    assert bench.upstream.requests == []


async def test_too_many_trailers_of_a_request_that_is_refused_already_get_no_second_answer(
    make_bench: MakeBench,
) -> None:
    bench = await make_bench(header=4096)
    wire = await bench.connect()
    await wire.send(CHUNKED + b"Host: two\r\n\r\n2\r\nhi\r\n0\r\n" + MANY + b"\r\n")
    wire.writer.write_eof()
    assert (await wire.rest()).count(b"HTTP/1.1 ") == 1
    assert len(bench.handler.all) == 1


async def test_too_many_trailers_of_an_answer_are_cut_even_in_one_piece(make_bench: MakeBench) -> None:
    bench = await make_bench(header=4096)
    bench.upstream.answers(ANSWER + b"\r\n2\r\nhi\r\n0\r\n" + MANY + b"\r\n")
    wire = await bench.connect()
    await wire.send(GET)
    assert not (await wire.rest()).endswith(b"0\r\n\r\n")
    exchange = await bench.ended()
    assert (exchange.end, exchange.error_type) == ("upstream_gone", "bad_upstream_response")
