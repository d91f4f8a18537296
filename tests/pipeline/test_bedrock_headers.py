"""What Bedrock says in headers alone is on the span: an InvokeModel's guardrail, and the tokens of models that count none."""

import asyncio
import json
from typing import Any

import pytest

from gateway.contracts import Provider
from gateway.model.exchange import Captured, Exchange
from gateway.pipeline import Pipeline
from gateway.providers.bedrock_invoke import BedrockEmbeddings, BedrockInvoke
from gateway.providers.known import KnownMessageCache
from tests.pipeline.fakes import Collector

GUARDRAIL = "arn:aws:bedrock:eu-west-1:111122223333:guardrail/gr1"
COUNTED = {
    b"x-amzn-bedrock-input-token-count": b"14",
    b"x-amzn-bedrock-output-token-count": b"36",
    b"x-amzn-bedrock-cache-read-input-token-count": b"100",
    b"x-amzn-bedrock-cache-write-input-token-count": b"0",
}


async def said_of(provider: Provider, answer: Any, counted: dict[bytes, bytes]) -> dict[str, Any]:
    kept = Collector()
    pipeline = Pipeline([], [kept], {provider.name: provider}, KnownMessageCache(), 1 << 20)
    asked = {b"x-amzn-bedrock-guardrailidentifier": GUARDRAIL.encode()}
    target = "/model/m/invoke"
    exchange = Exchange("x", 1, "POST", target, [], Captured(1000), b"t" * 16, b"s" * 8, header_map=asked)
    exchange.api, exchange.provider, exchange.operation = provider.name, "bedrock", provider.operation
    exchange.request_body.add(b'{"prompt": "What is a span?"}')
    exchange.status, exchange.end = 200, "finished"
    exchange.response_header_map = {b"content-type": b"application/json", **counted}
    exchange.response_body = Captured(1000)
    exchange.response_body.add(json.dumps(answer).encode())
    pipeline.end(exchange)
    async with asyncio.timeout(5):
        while pipeline.tail_length:
            await asyncio.sleep(0)
    [span] = kept.spans
    return dict(span.attributes)


async def test_the_guardrail_and_the_counts_of_a_model_that_counts_nothing() -> None:
    said = await said_of(BedrockInvoke(), {"outputs": [{"text": "Work.", "stop_reason": "stop"}]}, COUNTED)
    assert said["aws.bedrock.guardrail.id"] == GUARDRAIL
    assert said["spangate.usage.state"] == "reported"
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (114, 36)
    assert said["gen_ai.usage.cache_read.input_tokens"] == 100


async def test_vectors_have_no_output_to_count() -> None:
    counted = {b"x-amzn-bedrock-input-token-count": b"42"}
    said = await said_of(BedrockEmbeddings(), {"embeddings": [[0.5]], "id": "e"}, counted)
    assert said["spangate.usage.state"] == "reported"
    assert said["gen_ai.usage.input_tokens"] == 42


async def test_what_the_body_counts_stays() -> None:
    answer = {"generation": "Work.", "prompt_token_count": 5, "generation_token_count": 2}
    said = await said_of(BedrockInvoke(), answer, COUNTED)
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (5, 2)


@pytest.mark.parametrize("value", [b"", b"many", b"-1", b"9" * 40, b"\xb2"])
async def test_a_count_that_is_none_is_missing_not_zero(value: bytes) -> None:
    counted = {b"x-amzn-bedrock-input-token-count": value, b"x-amzn-bedrock-output-token-count": value}
    said = await said_of(BedrockInvoke(), {"outputs": [{"text": "Work."}]}, counted)
    assert said["spangate.usage.state"] == "missing"
    assert "gen_ai.usage.input_tokens" not in said
