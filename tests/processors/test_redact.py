"""`intent: redact` by an enforcer: what was found is taken out on the way, and every other byte stays as it was."""

import asyncio
import gzip
import json
from typing import Any

import pytest

from gateway.demo.connection import Received
from tests.processors.holding import JSON, LAST_CHUNK, chunk, keeper, outcomes, policy, post, talking, whole
from tests.processors.test_window import APIS, WORDS, every_api, told
from tests.proxy.conftest import dechunked
from tests.sigv4 import is_signed_with

INLET = (
    "directions: [inlet]\nintent: {codenames: redact, keys: redact, other: block}\n"
    "detect: {codenames: {keywords: [nightjar]}, keys: {patterns: ['key-[a-z0-9]{8,}']}, other: {keywords: [raven]}}\n"
)
ANSWER = b'{"choices":[{"message":{"role":"assistant","content":"yes"}}]}'
ODD = (
    b'{ "model" : "m",\r\n\t"messages":[{"role":"system","content":"\\u00e9 \\ud83d\\ude00 \\"nightjar\\" \xc3\xa9"},'
    b'{"role":"user","content":[{"type":"text","text":"key-abcdefgh1\\nand nigh\\u0074jar\\/"}],"x":1.50e3}] , "seed":7}'
)
ODD_CLEAN = (
    b'{ "model" : "m",\r\n\t"messages":[{"role":"system","content":"\\u00e9 \\ud83d\\ude00 \\"[codenames]\\" \xc3\xa9"},'
    b'{"role":"user","content":[{"type":"text","text":"[keys]\\nand [codenames]\\/"}],"x":1.50e3}] , "seed":7}'
)


def body_of(request: bytes) -> tuple[bytes, bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return head, body


async def test_a_request_leaves_without_it_and_otherwise_as_it_came() -> None:
    async with talking(policy(INLET)) as model:
        await model.gateway.wire.send(post(body=ODD))
        model.say(whole(ANSWER))
        head, body = await model.gateway.wire.answer()
        assert (head[9:12], body) == (b"200", ANSWER)
        assert b"x-spangate-outcome: redacted" in head
        sent_head, sent = body_of(model.gateway.upstream.requests[0])
        assert sent == ODD_CLEAN
        assert b"Content-Length: %d" % len(ODD_CLEAN) in sent_head
        exchange, _ = await model.finished()
        assert outcomes(exchange) == [("inlet", "redact", "redacted", "evaluated")]
        assert exchange.request_body.joined() == ODD  # what the client sent


async def test_a_compressed_request_leaves_uncompressed() -> None:
    async with talking(policy(INLET)) as model:
        more = b"Content-Encoding: gzip\r\nContent-MD5: x\r\n"
        await model.gateway.wire.send(post(body=gzip.compress(ODD), more=more))
        model.say(whole(ANSWER))
        await model.gateway.wire.answer()
        head, sent = body_of(model.gateway.upstream.requests[0])
        assert sent == ODD_CLEAN
        assert b"content-encoding" not in head.lower()
        assert b"content-md5" not in head.lower()


@pytest.mark.parametrize(
    ("content", "more"),
    [
        ("a nightjar", b"X-Amz-Content-Sha256: abc\r\n"),
        ("a nightjar and a raven", b""),
        ([{"type": "text", "text": "night"}, {"type": "text", "text": "jar"}], b""),
    ],
    ids=["signed by the client", "blocked too", "over two parts"],
)
async def test_what_cannot_be_taken_out_does_not_leave(content: Any, more: bytes) -> None:
    async with talking(policy(INLET)) as model:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()
        await model.gateway.wire.send(post(body=body, more=more))
        head, _ = await model.gateway.wire.answer()
        assert head.startswith(b"HTTP/1.1 403")
        assert b"x-spangate-code: blocked_by_policy" in head
        assert model.gateway.upstream.requests == []
        exchange, _ = await model.finished()
        assert (exchange.end, exchange.status) == ("blocked", 403)


async def test_a_request_that_the_gateway_signs_is_signed_as_it_leaves() -> None:
    keys = {"region": "us-east-1", "access_key_id": "AKID", "secret_access_key": "gateway-secret"}
    async with talking(policy(INLET), providers={"bedrock": {"api": "bedrock", "aws": keys}}) as model:
        body = b'{"messages":[{"role":"user","content":[{"text":"a nightjar"}]}]}'
        own = b"Authorization: AWS4-HMAC-SHA256 Credential=OWN/20261125/us-east-1/bedrock/aws4_request, Signature=0\r\n"
        await model.gateway.wire.send(post("/bedrock/model/m/converse", body, own))
        model.say(whole(b"{}"))
        await model.gateway.wire.answer()
        head, sent = body_of(model.gateway.upstream.requests[0])
        assert sent == body.replace(b"nightjar", b"[codenames]")
        lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
        received = Received("POST", "/model/m/converse", [(name, value) for name, value in lines], asyncio.Event())
        received.body = sent
        assert is_signed_with("gateway-secret", received)
        assert not is_signed_with("gateway-secret", received, body)


async def test_usage_is_asked_for_without_bringing_it_back() -> None:
    async with talking(policy(INLET), providers={"openai": {"include_usage": True}}) as model:
        await model.gateway.wire.send(post(body=b'{"stream":true,"messages":[{"role":"user","content":"nightjar"}]}'))
        model.say(whole(ANSWER))
        await model.gateway.wire.answer()
        _, sent = body_of(model.gateway.upstream.requests[0])
        assert b"include_usage" in sent
        assert b"[codenames]" in sent
        assert b"nightjar" not in sent


async def test_a_whole_answer_arrives_without_it_and_otherwise_as_it_came() -> None:
    said = b'{ "choices":[{"message":{"role":"assistant","content":"\\u00fcber nightjars: \\"nightjar\\""}}] }'
    async with talking(policy(keeper("hold", "redact"))) as model:
        await model.gateway.wire.send(post())
        model.say(whole(said))
        head, body = await model.gateway.wire.answer()
        assert body == said.replace(b'\\"nightjar\\"', b'\\"[codenames]\\"')
        assert b"x-spangate-outcome: redacted" in head
        exchange, _ = await model.finished()
        assert outcomes(exchange) == [("response", "redact", "redacted", "evaluated")]
        assert exchange.response_body is not None
        assert exchange.response_body.joined() == said


async def test_an_answer_packed_all_the_same_is_not_let_go() -> None:
    async with talking(policy(keeper("hold", "redact"))) as model:
        await model.gateway.wire.send(post())
        model.say(whole(gzip.compress(ANSWER.replace(b"yes", b"nightjar")), JSON + b"Content-Encoding: gzip\r\n"))
        assert (await model.gateway.wire.answer())[0].startswith(b"HTTP/1.1 403")


@every_api
@pytest.mark.parametrize("way", ["window", "hold"])
async def test_a_stream_arrives_without_it_however_it_was_split(api: Any, way: str) -> None:
    texts = [*[WORDS] * 30, "a nigh", "tj", "ar and key-abc", "defgh", "ijk. ", *[WORDS] * 30]
    clean = [*[WORDS] * 30, "a [codenames]", "", " and [keys]", "", ". ", *[WORDS] * 30]
    async with talking(policy(keeper(way, "redact"))) as model:
        await model.gateway.wire.send(post(api.path))
        model.say(api.head, *told([api.says(text) for text in texts]), LAST_CHUNK)
        head, body = await model.gateway.wire.answer()
        exchange, _ = await model.finished()
        if api.name == "invoke":  # an event inside an event is seen, but not changed
            assert exchange.outcome == "blocked"
            assert b"nightjar" not in body
            return
        assert head.startswith(b"HTTP/1.1 200")
        assert dechunked(body) == b"".join(map(api.says, clean))
        assert [(each.outcome, each.state, each.reason) for each in exchange.verdict.assessments] == [
            ("redacted", "evaluated", "codenames: keyword:0; keys: pattern:0")
        ]


async def test_a_block_found_behind_what_was_taken_out_still_cuts_the_stream() -> None:
    api = APIS[0]
    rules = (
        "directions: [response]\nresponse: window\nintent: {codenames: redact, other: block}\n"
        "detect: {codenames: {keywords: [nightjar]}, other: {keywords: [raven]}}\n"
    )
    async with talking(policy(rules)) as model:
        await model.gateway.wire.send(post(api.path))
        texts = ["nightjar ", *[WORDS] * 30, "raven ", *[WORDS] * 30]
        model.say(api.head, *[chunk(api.says(text)) for text in texts[:31]])
        head = await model.gateway.wire.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        model.say(*[chunk(api.says(text)) for text in texts[31:]])
        got = dechunked(await model.gateway.wire.until(b"\r\n0\r\n\r\n"))
        assert b"[codenames] " in got
        assert b"nightjar" not in got + head
        assert b"raven" not in got
        exchange, _ = await model.finished()
        assert exchange.end == "blocked"
