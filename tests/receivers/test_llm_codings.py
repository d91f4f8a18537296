"""Compressed requests and answers: relayed as they are, understood on the copy, within a bound."""

import gzip
import json
import zlib
from typing import Any

import brotli
import pytest
import zstandard

from tests.receivers.relaying import relaying

CODERS = {
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "x-gzip": lambda body: gzip.compress(body, mtime=0),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "gzip, zstd": lambda body: zstandard.compress(gzip.compress(body, mtime=0)),
    "ZSTD": zstandard.compress,
}
OPENAI: dict[str, dict[str, Any]] = {"openai": {}}
QUESTION = "What is a span? " * 100
REQUEST = json.dumps({"model": "demo", "messages": [{"role": "user", "content": QUESTION}]}).encode()
ANSWER = json.dumps(
    {
        "id": "1",
        "model": "demo-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A span is."}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
).encode()
BOMB = b'{"model":"demo","messages":[{"role":"user","content":"' + b"a" * 50_000_000 + b'"}]}'
LIMIT = 100_000


def _post(body: bytes, coding: str, chunk: int = 0) -> bytes:
    head = b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\nContent-Type: application/json\r\n"
    head += b"Content-Encoding: %b\r\n" % coding.encode()
    if not chunk:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pieces = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("chunk", [0, 7])
async def test_a_compressed_request_is_relayed_as_it_is_and_understood(coding: str, chunk: int) -> None:
    body = CODERS[coding](REQUEST)
    async with relaying(OPENAI) as relay:
        sent, _ = await relay.call(_post(body, coding, chunk))
        exchange, _ = await relay.finished()
    head, _, relayed = sent.partition(b"\r\n\r\n")
    assert relayed == body
    assert f"\r\nContent-Encoding: {coding}".encode() in head
    assert exchange.request is not None
    assert (exchange.request.state, exchange.request.model) == ("full", "demo")
    assert exchange.request.messages[0].texts == (QUESTION,)


@pytest.mark.parametrize("coding", CODERS)
async def test_a_compressed_answer_is_relayed_as_it_is_and_understood(coding: str) -> None:
    body = CODERS[coding](ANSWER)
    async with relaying(OPENAI) as relay:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: %b\r\n" % coding.encode()
        relay.upstream.answers(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await relay.wire.send(_post(REQUEST, "identity"))
        _, relayed = await relay.wire.answer()
        exchange, _ = await relay.finished()
    assert relayed == body
    assert exchange.response is not None
    assert (exchange.response.state, exchange.response.model) == ("full", "demo-1")
    assert exchange.response.usage.input_tokens == 3


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, zstd"])
async def test_a_bomb_is_relayed_as_it_is_and_read_up_to_the_bound(coding: str) -> None:
    body = CODERS[coding](BOMB)
    assert len(body) < LIMIT < len(BOMB)
    async with relaying(OPENAI, capture_max=LIMIT) as relay:
        relay.upstream.answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER)
        sent, _ = await relay.call(_post(body, coding))
        exchange, span = await relay.finished()
    assert sent.endswith(b"\r\n\r\n" + body)
    assert exchange.request is not None
    assert exchange.request.state == "truncated"
    assert sum(len(entry.json) for entry in exchange.request.messages) < LIMIT + 200  # and the words around it
    assert len(span) < 2 * LIMIT
    assert b"truncated" in span


@pytest.mark.parametrize(
    ("coding", "body", "state"),
    [
        ("gzip", b"this is not gzip", "unreadable"),
        ("zstd", b"this is not zstd", "unreadable"),
        ("br", b"\xff\xff\xff\xff", "unreadable"),
        ("deflate", b"\xff\xff\xff\xff", "unreadable"),
        ("snappy", b"of a coding that nobody here knows", "unreadable"),
        ("gzip", CODERS["gzip"](REQUEST)[:-12], "truncated"),
        ("zstd", CODERS["zstd"](REQUEST + bytes(range(256)) * 4000)[:-12], "truncated"),
    ],
)
async def test_what_cannot_be_decoded_is_relayed_all_the_same(coding: str, body: bytes, state: str) -> None:
    async with relaying(OPENAI) as relay:
        sent, answered = await relay.call(_post(body, coding))
        exchange, _ = await relay.finished()
    assert sent.endswith(b"\r\n\r\n" + body)
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert exchange.request is not None
    assert exchange.request.state == state
