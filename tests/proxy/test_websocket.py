"""The relay's WebSockets between raw sockets: not a byte is changed, whoever leaves takes the other along."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.model.exchange import Exchange, Refusal
from gateway.proxy.websocket_frames import TEXT, close_frame, frame
from tests.proxy.conftest import Bench, MakeBench, RecordingTalk, Wire, read_request

ASK = (
    b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: gateway\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2V5\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
TAKEN = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: eWVz\r\nx-spangate-outcome: forged\r\n\r\n"
)
Talking = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def takes(bench: Bench, then: Talking, answer: bytes = TAKEN) -> None:
    """The upstream takes the handshake, and goes on with `then`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bench.upstream.requests.append(await read_request(reader))
        writer.write(answer)
        await then(reader, writer)
        await writer.drain()

    bench.upstream.serve = serve


async def joined(bench: Bench, then: Talking, early: bytes = b"") -> tuple[Wire, RecordingTalk]:
    takes(bench, then)
    wire = await bench.connect()
    await wire.send(ASK + early)
    await wire.until(b"\r\n\r\n")
    return wire, bench.handler.talks[-1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def client_frame(text: bytes, opcode: int = TEXT) -> bytes:
    return frame(opcode, text, masked=True)


async def over(talk: RecordingTalk) -> tuple[str, str]:
    async with asyncio.timeout(60):
        await talk.over.wait()
    assert talk.end is not None
    return talk.end


async def test_the_handshake_crosses_and_the_answer_with_the_gateways_headers(bench: Bench) -> None:
    takes(bench, silence)
    wire = await bench.connect()
    await wire.send(ASK)
    head = await wire.until(b"\r\n\r\n")
    assert head == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: eWVz\r\nx-own: 1\r\n\r\n"
    )
    (sent,) = bench.upstream.requests
    for line in (b"Sec-WebSocket-Key: a2V5", b"Sec-WebSocket-Extensions: permessage-deflate", b"Upgrade: websocket"):
        assert line + b"\r\n" in sent
    assert sent.lower().count(b"\r\nconnection:") == 1


async def test_every_byte_passes_and_the_copy_is_understood(bench: Bench) -> None:
    early = client_frame(b"first")
    wire, talk = await joined(bench, echo, early)
    sent = early + client_frame(b"second " * 20000) + client_frame(b"", 0x9)
    await wire.send(sent[len(early) :])
    assert await wire.exactly(len(sent)) == sent
    assert talk.client == [(b"first", True), (b"second " * 20000, True)]
    assert talk.lost > 0  # what came back is masked, which no server's frame may be: relayed all the same
    wire.close()
    assert await over(talk) == ("client_gone", "client_gone")


async def test_what_the_upstream_says_right_behind_its_answer_arrives(bench: Bench) -> None:
    hello = frame(TEXT, b"hello")
    takes(bench, silence, TAKEN + hello)
    wire = await bench.connect()
    await wire.send(ASK)
    await wire.until(b"\r\n\r\n")
    assert await wire.exactly(len(hello)) == hello
    assert bench.handler.talks[0].upstream == [(b"hello", True)]


async def test_another_answer_is_an_answer_and_the_connection_goes_on(bench: Bench) -> None:
    bench.upstream.answers(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\nUpgrade: websocket\r\n\r\nno")
    wire = await bench.connect()
    for _ in range(2):
        await wire.send(ASK)
        head, body = await wire.answer()
        assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 426 Upgrade Required", b"no")
        ended = await bench.ended()
        assert (ended.status, ended.end) == (426, "upstream_error")


async def test_frames_behind_a_refused_handshake_are_not_read_as_requests(bench: Bench) -> None:
    bench.upstream.answers(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
    wire = await bench.connect()
    await wire.send(ASK + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 401 ")
    assert await wire.rest() == b""
    assert len(bench.upstream.requests) == 1


async def test_a_handshake_behind_a_running_request_is_refused(bench: Bench) -> None:
    wire = await bench.connect()
    await wire.send(b"GET /v1/x HTTP/1.1\r\nHost: a\r\n\r\n" + ASK)
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 200 ")
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert bench.handler.talks == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nnot HTTP",
    ],
)
async def test_a_101_to_something_else_is_a_bad_answer(bench: Bench, answer: bytes) -> None:
    takes(bench, silence, answer)
    wire = await bench.connect()
    await wire.send(ASK)
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 502 ")
    assert (await bench.ended()).error_type == "bad_upstream_response"


async def test_a_101_that_nobody_asked_for_is_a_bad_answer(bench: Bench) -> None:
    bench.upstream.answers(TAKEN)
    wire = await bench.connect()
    await wire.send(b"GET /v1/x HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 502 ")


async def test_whoever_says_goodbye_first_ended_it(bench: Bench) -> None:
    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(client_frame(b"\x03\xe8", 0x8)))
        writer.write(close_frame(1000, "", masked=False))

    wire, talk = await joined(bench, closing)
    await wire.send(close_frame(1000, "", masked=True))
    assert await wire.rest() == close_frame(1000, "", masked=False)
    assert await over(talk) == ("client_gone", "closed_1000")

    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(close_frame(1011, "tired", masked=False))

    wire, talk = await joined(bench, leaving)
    assert await wire.rest() == close_frame(1011, "tired", masked=False)
    assert await over(talk) == ("upstream_gone", "closed_1011")


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(frame(TEXT, b"not masked"), id="unmasked"),
        pytest.param(client_frame(b"x", 0x3), id="reserved opcode"),
        pytest.param(client_frame(b"x" * 126, 0x9), id="long ping"),
        pytest.param(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", id="garbage"),
        pytest.param(client_frame(b"x", 0x0), id="continuation of nothing"),
        pytest.param(b"\x81\xfe\x00\x02" + bytes(6), id="length in too many bytes"),
        pytest.param(close_frame(1000, "", masked=True) + client_frame(b"x"), id="text behind a close"),
    ],
)
async def test_what_cannot_be_understood_passes_all_the_same(bench: Bench, odd: bytes) -> None:
    wire, talk = await joined(bench, echo)
    sent = client_frame(b"before") + odd + client_frame(b"after")
    await wire.send(sent)
    assert await wire.exactly(len(sent)) == sent
    assert talk.client == [(b"before", True)]
    assert talk.lost > 0


async def test_a_message_too_long_to_be_kept_passes_and_its_beginning_is_known(make_bench: MakeBench) -> None:
    bench = await make_bench(capture=1000, body=5000)
    wire, talk = await joined(bench, echo)
    sent = client_frame(b"y" * 3000) + client_frame(b"short")
    await wire.send(sent)
    assert await wire.exactly(len(sent)) == sent
    assert talk.client == [(b"y" * 1000, False), (b"short", True)]
    sent = client_frame(b"z" * 6000) + client_frame(b"lost")
    await wire.send(sent)
    assert await wire.exactly(len(sent)) == sent
    assert len(talk.client) == 2


async def test_a_bug_in_understanding_costs_the_copy_and_not_the_connection(bench: Bench) -> None:
    wire, talk = await joined(bench, echo)

    def fails(message: bytes, whole: bool, sound: bool) -> None:
        raise RuntimeError("a bug")

    talk.client_said = fails  # type: ignore[method-assign]
    sent = client_frame(b"hello") * 3
    for _ in range(2):
        await wire.send(sent)
        assert await wire.exactly(len(sent)) == sent
    assert talk.lost >= 2 * len(sent)
    assert bench.server.counters()["failures.websocket"] == 1


async def test_a_bug_in_asking_ends_the_connection_and_is_counted(bench: Bench) -> None:
    async def fail(exchange: Exchange) -> None:
        raise LookupError("a bug")

    bench.handler.holding = True
    wire, talk = await joined(bench, silence)
    bench.handler.on_ready = fail
    await wire.send(client_frame(b"ask something"))
    assert await wire.rest() == close_frame(1001, "", False)
    assert await over(talk) == ("upstream_gone", "internal_error")
    assert bench.server.counters()["failures.asking"] == 1


async def test_whoever_does_not_read_stops_whoever_writes(bench: Bench) -> None:
    piece = frame(TEXT, b"x" * 60000)
    state = {"written": 0, "stuck": False}
    go_on = asyncio.Event()

    async def flooding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(800):
            writer.write(piece)
            try:
                async with asyncio.timeout(0.3 if not state["stuck"] else None):
                    await writer.drain()
            except TimeoutError:
                state["stuck"] = True
                go_on.set()
                await writer.drain()
            state["written"] += len(piece)

    wire, talk = await joined(bench, flooding)
    wire.reader._transport.pause_reading()  # type: ignore[attr-defined]  # StreamReader has no door for it
    async with asyncio.timeout(20):
        await go_on.wait()
    assert state["written"] < 40_000_000
    wire.reader._transport.resume_reading()  # type: ignore[attr-defined]
    assert await wire.exactly(800 * len(piece)) == piece * 800
    assert await over(talk) == ("upstream_gone", "upstream_closed")


async def test_a_client_that_is_still_sending_hears_what_it_was_told_last(make_bench: MakeBench) -> None:
    said = frame(TEXT, b"too much") + close_frame(1009, "", masked=False)
    bench = await make_bench(linger_s=60)

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1 << 16)
        writer.write(said)
        writer.write_eof()
        await reader.read()

    wire, talk = await joined(bench, refusing)
    wire.writer.write(client_frame(b"x" * 20_000_000))
    assert await wire.rest() == said
    assert await over(talk) == ("upstream_gone", "closed_1009")


async def test_a_silent_connection_is_closed_after_a_while(make_bench: MakeBench) -> None:
    bench = await make_bench(websocket_idle_s=0.05, idle_s=0.2)
    wire, talk = await joined(bench, silence)
    assert await wire.rest() == close_frame(1001, "nothing passed for too long", masked=False)
    assert await over(talk) == ("timeout", "idle_timeout")


async def test_draining_waits_for_what_is_running_and_says_goodbye(bench: Bench) -> None:
    told = asyncio.Event()

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await told.wait()
        writer.write(frame(TEXT, b"done"))
        await reader.read()

    wire, talk = await joined(bench, answering)
    await wire.send(client_frame(b"ask"))
    async with asyncio.timeout(60):
        while not talk.open:
            await asyncio.sleep(0)
    draining = asyncio.create_task(bench.server.drain(5))
    await asyncio.sleep(0)
    assert not talk.over.is_set()
    told.set()
    assert await wire.rest() == frame(TEXT, b"done") + close_frame(1001, "the gateway is stopping", masked=False)
    assert await draining == 0
    assert await over(talk) == ("shutdown", "shutdown")


async def test_what_still_runs_at_the_deadline_is_cut(bench: Bench) -> None:
    wire, talk = await joined(bench, silence)
    await wire.send(client_frame(b"ask"))
    async with asyncio.timeout(60):
        while not talk.open:
            await asyncio.sleep(0)
    assert await bench.server.drain(0.05) == 1
    assert await over(talk) == ("shutdown", "shutdown")


async def test_many_leave_at_once_and_nothing_stays_behind(bench: Bench) -> None:
    takes(bench, echo)
    wires = [await bench.connect() for _ in range(100)]
    for wire in wires:
        await wire.send(ASK + client_frame(b"ask"))
    for wire in wires:
        await wire.until(b"\r\n\r\n")
    for number, wire in enumerate(wires):
        if number % 2:
            wire.abort()
        else:
            await wire.send(close_frame(1000, "", masked=True))
            wire.close()
    for talk in bench.handler.talks:
        assert (await over(talk))[0] == "client_gone"
    async with asyncio.timeout(60):
        while bench.server.connections or bench.server.tunnels:
            await asyncio.sleep(0)


class TestHeld:
    """Where somebody must read first."""

    @staticmethod
    def refuse(exchange: Exchange) -> None:
        if exchange.target.endswith("no"):
            exchange.refusal = Refusal(403, "blocked_by_policy", "no")

    async def test_a_refused_message_stays_here_and_all_others_pass_as_they_came(self, bench: Bench) -> None:
        bench.handler.holding, bench.handler.on_ready = True, self.refuse
        wire, talk = await joined(bench, echo)
        # In fragments, with a ping between them, as a client may send it.
        begin = b"\x01" + client_frame(b"ask m")[1:]
        end = b"\x80" + client_frame(b"ay I")[1:]
        ping = client_frame(b"here?", 0x9)
        after = client_frame(b"hello")
        await wire.send(begin + ping + end + client_frame(b"ask no") + after)
        # The ping overtakes the message that it stood in: it is no part of it.
        passed = ping + begin + end + after
        refusal = frame(TEXT, b"refused")
        came = await wire.exactly(len(passed) + len(refusal))
        assert came.replace(refusal, b"") == passed
        assert [said for said, _ in talk.client] == [b"ask may I", b"ask no", b"hello"]

    async def test_the_refusal_waits_for_the_end_of_the_upstreams_message(self, bench: Bench) -> None:
        bench.handler.holding, bench.handler.on_ready = True, self.refuse
        half, go_on = asyncio.Event(), asyncio.Event()
        said = frame(TEXT, b"a long message")

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await half.wait()
            writer.write(said[:1])
            await go_on.wait()
            writer.write(said[1:] + said)
            await reader.read()

        wire, talk = await joined(bench, slow)
        half.set()
        assert await wire.exactly(1) == said[:1]
        await wire.send(client_frame(b"ask no"))
        while not talk.client:
            await asyncio.sleep(0)
        go_on.set()
        whole = said + frame(TEXT, b"refused") + said
        assert await wire.exactly(len(whole) - 1) == whole[1:]

    async def test_an_answer_that_takes_its_time_holds_what_is_behind(self, bench: Bench) -> None:
        bench.handler.holding = True
        asked = asyncio.Event()

        async def wait() -> None:
            await asked.wait()

        bench.handler.on_ready = lambda exchange: None if exchange.id == "x1" else wait()
        wire, talk = await joined(bench, echo)
        sent = client_frame(b"ask") + client_frame(b"behind")
        await wire.send(sent)
        while not talk.client:
            await asyncio.sleep(0)
        assert talk.client == [(b"ask", True)]
        asked.set()
        assert await wire.exactly(len(sent)) == sent

    async def test_a_message_too_long_to_be_held_is_decided_upon_at_its_beginning(self, make_bench: MakeBench) -> None:
        bench = await make_bench(capture=1000)
        bench.handler.holding = True
        seen: list[bool] = []

        def ready(exchange: Exchange) -> None:
            if exchange.id == "x2":
                seen.append(True)
                if len(seen) == 1:
                    exchange.refusal = Refusal(413, "body_too_large", "no")

        bench.handler.on_ready = ready
        wire, talk = await joined(bench, echo)
        long = client_frame(b"ask" + b"x" * 50000)
        await wire.send(long + client_frame(b"hello") + long)
        passed = client_frame(b"hello")
        answer = await wire.exactly(len(frame(TEXT, b"refused")) + len(passed) + len(long))
        assert answer.count(b"refused") == 1
        assert answer.endswith(long)
        assert [whole for said, whole in talk.client if said.startswith(b"ask")] == [False, False]

    async def test_what_cannot_be_read_ends_the_connection(self, bench: Bench) -> None:
        bench.handler.holding = True
        wire, talk = await joined(bench, echo)
        await wire.send(frame(TEXT, b"ask, unmasked, so that nobody reads it"))
        assert await wire.rest() == close_frame(1002, "not a WebSocket message that can be read", masked=False)
        assert await over(talk) == ("client_gone", "broken_frame")
        assert talk.client == []
