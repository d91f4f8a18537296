"""What no client and no upstream should send, through the relay as it runs: the same bytes leave, the span says how much
of them was understood, and agents have seen the raw text.
"""

import asyncio
import gzip
import json
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.demo.eventstream import event_frame
from gateway.model.exchange import Exchange
from gateway.policy.engine import PolicySet
from gateway.policy.load import read_agent
from gateway.processors.policy import PolicyConfig, PolicyProcessor
from gateway.proxy.websocket_frames import TEXT, frame
from tests.e2e.span_sink import attributes_of
from tests.proxy.conftest import read_request
from tests.receivers.relaying import Relaying, relaying

WORD = b"nightjar"
SAID = b'{"role":"user","content":"nightjar"}'
PLAIN = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
LIMIT = 1 << 16
JSON = "application/json"
DEEP = b"[" * 10_000 + b"]" * 10_000
REQUESTS: dict[str, tuple[bytes, str, str]] = {
    "no JSON": (b"plain words: nightjar", "", "unreadable"),
    "JSON that ends too early": (b'{"model":"m","messages":[' + SAID, "", "unreadable"),
    "Latin-1 called UTF-8": (b'{"model":"m","messages":[{"role":"user","content":"\xe9 nightjar"}]}', "", "full"),
    "UTF-16 called UTF-8": ((b'{"model":"m","messages":[%b]}' % SAID).decode().encode("utf-16"), "", "full"),
    "10,000 levels": (b'{"model":"m","messages":[%b],"x":%b}' % (SAID, DEEP), "", "unreadable"),
    "10,000 levels in a message": (b'{"messages":[{"content":%b},%b]}' % (DEEP, SAID), "", "unreadable"),
    "a million elements": (b'{"messages":[' + b"1," * 1_000_000 + SAID + b"]}", "", "unreadable"),
    "a name twice": (b'{"messages":[%b],"messages":[{"role":"user","content":"x"}]}' % SAID, "", "unreadable"),
    "NaN": (b'{"model":"m","temperature":NaN,"messages":[%b]}' % SAID, "", "full"),
    "a lone surrogate": (b'{"messages":[{"role":"user","content":"\\ud800 nightjar"}]}', "", "full"),
    "a bomb": (gzip.compress(b'{"messages":[%b,"' % SAID + b"a" * 50_000_000 + b'"]}', mtime=0), "gzip", "truncated"),
}
"""By what is wrong: the body, its content coding, how much of it is understood."""


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c1", "model": "m", "choices": [choice]}).encode()


SSE = chunk({"content": "nightjar"}) + b"\n\n" + chunk({}, "stop") + b"\n\n"
UNSOUND = bytearray(event_frame("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":" sings"}}'))
UNSOUND[-1] ^= 1
FRAMES = (
    event_frame("messageStart", b'{"role":"assistant"}')
    + event_frame("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"nightjar"}}')
    + bytes(UNSOUND)
    + event_frame("messageStop", b'{"stopReason":"end_turn"}')
)
CHAT, CONVERSE = "/openai/v1/chat/completions", "/bedrock/model/m/converse-stream"
ANSWERS: dict[str, tuple[str, str, bytes, str]] = {
    "a frame with a bad checksum": (CONVERSE, "application/vnd.amazon.eventstream", FRAMES, "truncated"),
    "no blank line at the end": (CHAT, "text/event-stream", SSE + b"data: [DONE]", "full"),
    "no blank line behind what ends it": (CHAT, "text/event-stream", SSE[:-2], "full"),
    "two ends": (CHAT, "text/event-stream", SSE + b"data: [DONE]\n\n" * 2, "full"),
    "no JSON": (CHAT, JSON, b"nightjar", "unreadable"),
    "10,000 levels": (CHAT, JSON, b'{"choices":%b,"x":"nightjar"}' % DEEP, "unreadable"),
}
"""By what is wrong: where, of which type, the body, how much of it is understood."""

ASK = b'{"type":"response.create","model":"m","input":"nightjar"}'
BEGUN = b'{"type":"response.created","response":{"id":"resp_1","status":"in_progress","output":[]}}'
DELTA = b'{"type":"response.output_text.delta","output_index":0,"item_id":"i","content_index":0,"delta":"nightjar"}'
ENDED = b'{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[]}}'
MESSAGES = {
    "bad UTF-8": frame(TEXT, b'{"type":"\xff\xfe"}'),
    "a frame that is too long": frame(TEXT, b'{"type":"response.x","pad":"%b"}' % (b"a" * 2 * LIMIT)),
}


def watcher() -> PolicyProcessor:
    agent = (
        b"agent: watcher\nrole: observer\ndirections: [inlet, response]\ndetect: {codenames: {keywords: [nightjar]}}\n"
    )
    return PolicyProcessor(PolicyConfig(), PolicySet([read_agent("watcher.yaml", agent)], sensitive=()))


def flagged(exchange: Exchange) -> list[str]:
    """Where the agent saw the word."""
    return sorted({each.direction for each in exchange.verdict.assessments if each.outcome == "flagged"})


async def ended(relay: Relaying) -> tuple[Exchange, dict[str, Any]]:
    exchange, span = await relay.finished()
    return exchange, attributes_of(Span.FromString(span))


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_bad_request_leaves_as_it_came_and_agents_saw_it(name: str) -> None:
    body, coding, capture = REQUESTS[name]
    head = f"POST {CHAT} HTTP/1.1\r\nHost: gw\r\nContent-Type: {JSON}; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Encoding: {coding}\r\n" if coding else ""
    async with relaying({"openai": {}}, [watcher()], **({"capture_max": LIMIT} if coding else {})) as relay:
        answer = SSE + b"data: [DONE]\n\n"
        said = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(answer)
        relay.upstream.answers(said + answer)
        await relay.wire.send(head.encode() + b"\r\n" + body)
        _, relayed = await relay.wire.answer()
        exchange, attributes = await ended(relay)
    assert relay.upstream.requests[0].partition(b"\r\n\r\n")[2] == body
    assert relayed == answer
    assert (attributes["spangate.end"], attributes["spangate.capture"]) == ("finished", capture)
    assert flagged(exchange) == ["inlet", "response"]
    assert attributes["spangate.outcome"] == "flagged"


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_bad_answer_arrives_as_it_came_and_agents_saw_it(name: str) -> None:
    path, content_type, answer, capture = ANSWERS[name]
    asked = PLAIN if path == CHAT else b'{"messages":[{"role":"user","content":[{"text":"hello"}]}]}'
    async with relaying({"openai": {}, "bedrock": {}}, [watcher()]) as relay:
        said = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(answer)}\r\n\r\n"
        relay.upstream.answers(said.encode() + answer)
        head = f"POST {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer k\r\nContent-Length: {len(asked)}\r\n\r\n"
        await relay.wire.send(head.encode() + asked)
        _, relayed = await relay.wire.answer()
        exchange, attributes = await ended(relay)
    assert relay.upstream.requests[0].endswith(b"\r\n\r\n" + asked)
    assert relayed == answer
    assert (attributes["spangate.end"], attributes["spangate.capture"]) == ("finished", capture)
    assert flagged(exchange) == ["response"]


@pytest.mark.parametrize("name", MESSAGES)
async def test_a_bad_websocket_message_arrives_as_it_came_and_agents_saw_what_was_before_it(name: str) -> None:
    handshake = (
        b"GET /openai/v1/responses HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2V5\r\n\r\n"
    )
    asked = frame(TEXT, ASK, masked=True)
    answer = frame(TEXT, BEGUN) + frame(TEXT, DELTA) + MESSAGES[name] + frame(TEXT, ENDED)
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        arrived.put_nowait(await reader.readexactly(len(asked)))
        writer.write(answer)
        await reader.read()

    async with relaying({"openai": {}}, [watcher()], body_max=LIMIT) as relay:
        relay.upstream.serve = serve
        await relay.wire.send(handshake)
        await relay.wire.until(b"\r\n\r\n")
        await relay.wire.send(asked)
        assert await relay.wire.exactly(len(answer)) == answer
        assert arrived.get_nowait() == asked
        relay.wire.close()
        exchange, attributes = await ended(relay)
    assert attributes["spangate.capture"] == "truncated"
    assert flagged(exchange) == ["inlet", "response"]
