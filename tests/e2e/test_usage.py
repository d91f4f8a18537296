"""`include_usage: true`: the official SDK sees the stream it asked for, and the span knows what it took."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.demo.model import BuiltinModel
from tests.demo.rawhttp import OPENAI, asking, post, split, unchunked
from tests.e2e.gateway_process import Gateway
from tests.exporters.conftest import Sink

HELLO: Any = [{"role": "user", "content": "Hello there"}]
TOOLS: Any = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
ASKING: Any = {"stream": True, "stream_options": {"include_usage": True}}
DECLINING: Any = {"stream": True, "stream_options": {"include_usage": False}}
WHOLE: Any = {"stream": False}


@dataclass
class Injecting:
    model: BuiltinModel
    gateway: Gateway
    client: openai.AsyncOpenAI
    sink: Sink

    async def spans(self) -> list[dict[str, Any]]:
        """All that left, once the gateway has stopped."""
        await self.gateway.stop()
        return [{each.key: _value(each) for each in span.attributes} for span in self.sink.spans]


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    await sink.start()
    yield sink
    await sink.stop()


@pytest.fixture
async def injecting(tmp_path: Path, sink: Sink) -> AsyncIterator[Injecting]:
    config = {
        "receivers": {"llm": {"providers": {"openai": {"include_usage": True}}}},
        "exporters": {"otlp_http": {"endpoint": sink.url}},
        "service": {"pipelines": {"traces": {"exporters": ["store", "otlp_http"]}}},
    }
    async with (
        BuiltinModel() as model,
        Gateway(tmp_path, model.url, config) as gateway,
        openai.AsyncOpenAI(base_url=gateway.openai_url, api_key="any", max_retries=0) as client,
    ):
        yield Injecting(model, gateway, client, sink)


@pytest.mark.parametrize("name", ["demo-reasoning", "demo-tools+gzip"])
async def test_sdk_gets_every_chunk_but_the_extra_one_and_the_span_its_usage(injecting: Injecting, name: str) -> None:
    stream = await injecting.client.chat.completions.create(model=name, messages=HELLO, tools=TOOLS, stream=True)
    relayed = [chunk.to_dict() async for chunk in stream]
    (request,) = injecting.model.requests
    *told, extra = await _told(injecting.model, request.body)
    assert relayed == told
    assert extra["choices"] == []
    (span,) = await injecting.spans()
    assert (span["spangate.usage.state"], span["spangate.usage.injected"]) == ("reported", True)
    assert span["gen_ai.usage.input_tokens"] == extra["usage"]["prompt_tokens"]
    assert span["gen_ai.usage.output_tokens"] == extra["usage"]["completion_tokens"]


async def test_request_that_says_what_it_wants_reaches_the_model_as_it_is(injecting: Injecting) -> None:
    model = injecting.model
    for fields in (ASKING, DECLINING, WHOLE):
        body = asking("demo-gzip", **fields)
        relayed = await post(injecting.gateway.url, "/openai" + OPENAI, body, "accept-encoding: gzip")
        assert model.requests[-1].body == body
        assert split(relayed)[1] == split(await post(model.url, OPENAI, body, "accept-encoding: gzip"))[1]
    spans = await injecting.spans()
    assert [span["spangate.usage.state"] for span in spans] == ["reported", "missing", "reported"]
    assert not any("spangate.usage.injected" in span for span in spans)


async def _told(model: BuiltinModel, body: bytes) -> list[Any]:
    """The chunks that the model streams for the same bytes."""
    answer = await post(model.url, OPENAI, body, "accept-encoding: identity")
    events, complete = unchunked(split(answer)[1])
    assert complete
    return [json.loads(event.removeprefix(b"data: ")) for event in events if b"[DONE]" not in event]


def _value(attribute: Any) -> Any:
    return getattr(attribute.value, attribute.value.WhichOneof("value"))
