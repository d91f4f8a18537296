"""What no client should send on a WebSocket, through the relay as it runs: the same bytes leave unless somebody must read
them first, a span holds their raw text and says that they were not understood, and agents have seen it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.contracts import Processor
from gateway.model.exchange import Exchange
from gateway.policy.engine import PolicySet
from gateway.policy.load import read_agent
from gateway.processors.policy import PolicyConfig, PolicyProcessor
from gateway.proxy.websocket_frames import TEXT, close_frame, frame
from tests.e2e.span_sink import attributes_of
from tests.proxy.conftest import read_request
from tests.receivers.relaying import Relaying, relaying
from tests.websocket.conftest import keeper

HANDSHAKE = (
    b"GET /openai/v1/responses HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2V5\r\nx-session-id: s-1\r\n\r\n"
)
TAKEN = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
GOODBYE = close_frame(1002, "not a WebSocket message that can be read", masked=False)
BODY_MAX = 1 << 16
ASK = b'{"type":"response.create","model":"m","input":"%b"}'
BEGUN = b'{"type":"response.created","response":{"id":"%b","status":"in_progress","output":[]}}'
ENDED = b'{"type":"response.completed","response":{"id":"%b","status":"completed","output":[]}}'


def text(said: bytes, opcode: int = TEXT, bits: int = 0x80) -> bytes:
    """A client's frame. `bits`: 0x80 of a message's last one; 0x40, 0x20 and 0x10 are nobody's."""
    whole = frame(opcode, said, masked=True)
    return bytes((opcode | bits,)) + whole[1:]


def said_badly(word: bytes) -> dict[str, bytes]:
    """By what is wrong with them: frames that say the word."""
    return {
        "bad UTF-8": text(ASK % (word + b" \xff")),
        "bad UTF-8, and no event": text(b"\xfe" + word),
        "bad UTF-8 in an event that asks for nothing": text(b'{"type":"response.x","input":"%b \xc3"}' % word),
        "bad UTF-8 over two fragments": text(b"\xe2\x82 " + word[:4], bits=0) + text(word[4:], 0x0),
        "too long": text(ASK % (word + b" and so on" * BODY_MAX)),
        "no mask": frame(TEXT, ASK % word),
        "a reserved bit": text(ASK % word, bits=0xC0),
        "a reserved bit in the second fragment": text(b"say " + word[:4], bits=0) + text(word[4:], 0x0, bits=0x90),
        "a reserved opcode": text(word, 0x3),
        "a reserved opcode of control frames": text(word, 0xB),
        "the rest of nothing": text(word, 0x0),
        "a ping that is too long": b"\x89\x7e\x00\x80" + word.ljust(128),
        "no frames": b"\xff\x7f\xff" + word.ljust(64),
        "text behind a close": close_frame(1000, "", masked=True) + text(ASK % word),
    }


def enforcer(on_unreadable: str = "allow") -> PolicyProcessor:
    return PolicyProcessor(
        PolicyConfig.model_validate({"unreadable": on_unreadable}), PolicySet([keeper()], sensitive=())
    )


def observer() -> PolicyProcessor:
    agent = b"agent: watcher\nrole: observer\ndirections: [inlet]\ndetect: {codenames: {keywords: [nightjar]}}\n"
    return PolicyProcessor(PolicyConfig(), PolicySet([read_agent("watcher.yaml", agent)], sensitive=()))


@dataclass
class Talking:
    """A client's raw socket and an upstream's, joined by the gateway."""

    relay: Relaying
    came: asyncio.StreamReader
    back: asyncio.StreamWriter

    async def arrives(self, sent: bytes) -> None:
        async with asyncio.timeout(60):
            assert await self.came.readexactly(len(sent)) == sent

    async def answer(self, response: bytes) -> None:
        """With a whole response of this id."""
        events = frame(TEXT, BEGUN % response) + frame(TEXT, ENDED % response)
        self.back.write(events)
        assert await self.relay.wire.exactly(len(events)) == events

    async def ended(self) -> tuple[Exchange, dict[str, Any]]:
        exchange, span = await self.relay.finished()
        return exchange, attributes_of(Span.FromString(span))


@asynccontextmanager
async def talking(processor: Processor, **written: Any) -> AsyncIterator[Talking]:
    joined: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(TAKEN)
        joined.put_nowait((reader, writer))
        await over.wait()

    async with relaying({"openai": {}}, [processor], body_max=BODY_MAX, **written) as relay:
        relay.upstream.serve = serve
        await relay.wire.send(HANDSHAKE)
        await relay.wire.until(b"\r\n\r\n")
        try:
            yield Talking(relay, *await joined.get())
        finally:
            over.set()
    assert relay.kept.finished.empty()


def raw_text(exchange: Exchange) -> str:
    assert exchange.request is not None
    return "".join(text for entry in exchange.request.messages for text in entry.texts)


NAMES = said_badly(b"")


@pytest.mark.parametrize("name", NAMES)
async def test_it_leaves_as_it_came_and_its_span_ends_with_the_connection(name: str) -> None:
    async with talking(observer()) as talk:
        sent = said_badly(b"nightjar")[name]
        await talk.relay.wire.send(sent)
        await talk.arrives(sent)
        talk.back.write(close_frame(1007, "", masked=False))
        assert await talk.relay.wire.exactly(4) == close_frame(1007, "", masked=False)
        talk.back.close()
        exchange, attributes = await talk.ended()
    assert attributes["spangate.capture"] == ("truncated" if name == "too long" else "unreadable")
    assert "nightjar" in raw_text(exchange)
    assert attributes["spangate.outcome"] == "flagged"
    ended = ("client_gone", "closed_1000") if name == "text behind a close" else ("upstream_gone", "closed_1007")
    assert (attributes["spangate.end"], attributes["error.type"]) == ended


@pytest.mark.parametrize("name", NAMES)
async def test_its_span_ends_with_the_response_that_answers_it(name: str) -> None:
    async with talking(observer()) as talk:
        sent = said_badly(b"nightjar")[name]
        await talk.relay.wire.send(sent)
        await talk.arrives(sent)
        await talk.answer(b"resp_1")
        exchange, attributes = await talk.ended()
    assert (attributes["spangate.end"], attributes["gen_ai.response.id"]) == ("finished", "resp_1")
    assert attributes["spangate.capture"] == ("truncated" if name == "too long" else "unreadable")
    assert attributes["spangate.outcome"] == "flagged"
    assert "nightjar" in raw_text(exchange)


@pytest.mark.parametrize("name", NAMES)
async def test_an_enforcer_finds_its_word_in_it_and_it_stays_here(name: str) -> None:
    async with talking(enforcer()) as talk:
        await talk.relay.wire.send(said_badly(b"nightjar")[name])
        said = await talk.relay.wire.until(b"blocked_by_policy")
        talk.relay.wire.close()
        exchange, attributes = await talk.ended()
        async with asyncio.timeout(60):
            left = await talk.came.read()
    assert (attributes["spangate.end"], attributes["spangate.outcome"]) == ("blocked", "blocked")
    assert attributes["spangate.capture"] == ("truncated" if name == "too long" else "unreadable")
    assert b"nightjar" not in said
    # Of the frames only a close may have left: the client's own, or the gateway's as it gives up.
    assert len(left) <= len(GOODBYE) + 8
    assert left[:1] in (b"", b"\x88")
    assert exchange.upstream_started_ns == 0


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("bad UTF-8")])
async def test_what_an_enforcer_has_read_and_allows_leaves_as_it_came(name: str) -> None:
    sent = said_badly(b"goodword")[name]
    async with talking(enforcer()) as talk:
        await talk.relay.wire.send(sent)
        await talk.arrives(sent)
        await talk.relay.wire.send(text(ASK % b"hello"))
        await talk.answer(b"resp_1")
        talk.relay.wire.close()
        exchange, attributes = await talk.ended()
        await talk.ended()
    assert (attributes["spangate.outcome"], attributes["spangate.capture"]) == ("flagged", "unreadable")
    assert "goodword" in raw_text(exchange)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("bad UTF-8")])
async def test_what_is_no_message_goes_by_no_enforcer_and_stands_on_a_span(name: str) -> None:
    async with talking(enforcer()) as talk:
        await talk.relay.wire.send(said_badly(b"goodword")[name])
        assert await talk.relay.wire.exactly(len(GOODBYE)) == GOODBYE
        async with asyncio.timeout(60):
            left = await talk.came.read()
        exchange, attributes = await talk.ended()
    assert left[:1] in (b"", b"\x88")
    assert attributes["spangate.end"] == "client_gone"
    assert attributes["error.type"] == ("oversized_message" if name == "too long" else "broken_frame")
    assert exchange.upstream_started_ns == 0
    assert "goodword" in raw_text(exchange)


async def test_where_nothing_unreadable_may_leave_bad_utf_8_does_not() -> None:
    async with talking(enforcer("block")) as talk:
        await talk.relay.wire.send(text(ASK % b"hello \xff"))
        await talk.relay.wire.until(b"blocked_by_policy")
        _, attributes = await talk.ended()
    assert (attributes["spangate.end"], attributes["spangate.capture"]) == ("blocked", "unreadable")


async def test_behind_it_each_response_has_what_was_said_before_it() -> None:
    rounds = [b"nightjar sings", b"nightjar sleeps"]
    async with talking(observer()) as talk:
        for number, said in enumerate(rounds):
            # No bit of the second frame is wrong, but nothing is understood behind the first.
            sent = text(said, bits=0x80 if number else 0xC0)
            await talk.relay.wire.send(sent)
            await talk.arrives(sent)
            await talk.answer(b"resp_%d" % number)
        ended = [await talk.ended() for _ in rounds]
    assert [raw_text(exchange) for exchange, _ in ended] == [said.decode() for said in rounds]
    assert [attributes["gen_ai.response.id"] for _, attributes in ended] == ["resp_0", "resp_1"]
    assert {attributes["spangate.capture"] for _, attributes in ended} == {"unreadable"}


async def test_a_message_behind_bad_utf_8_is_understood() -> None:
    async with talking(observer()) as talk:
        for number, said in enumerate((b"hello \xff", b"nightjar")):
            sent = text(ASK % said)
            await talk.relay.wire.send(sent)
            await talk.arrives(sent)
            await talk.answer(b"resp_%d" % number)
        ended = [await talk.ended() for _ in range(2)]
    assert [each["spangate.capture"] for _, each in ended] == ["unreadable", "full"]
    assert [each["spangate.outcome"] for _, each in ended] == ["allowed", "flagged"]


async def test_what_is_kept_of_it_is_bounded() -> None:
    async with talking(observer(), capture_max=1000) as talk:
        sent = text(b"nightjar ", bits=0xC0) + text(b"a" * 100) * 100
        for at in range(0, len(sent), 1000):
            await talk.relay.wire.send(sent[at : at + 1000])
        await talk.arrives(sent)
        talk.relay.wire.close()
        exchange, attributes = await talk.ended()
    assert (exchange.request_body.kept, exchange.request_body.size) == (1000, 10_009)
    assert (attributes["spangate.capture"], attributes["spangate.outcome"]) == ("truncated", "flagged")
