"""Pydantic AI's agents through the real gateway, by Chat Completions and by Responses."""

from typing import Any

import httpx2
import openai
import pytest
from pydantic_ai import Agent, ModelHTTPError, ModelMessage, ModelMessagesTypeAdapter
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from gateway.demo.model import BuiltinModel
from tests.e2e.both_ways import same_both_ways
from tests.e2e.gateway_process import Gateway
from tests.e2e.said import FORECAST, OPENAI_ERRORS, RESULT, TOLD, WEATHER, answer, call, check_spans, error
from tests.e2e.span_sink import SpanSink

pytestmark = pytest.mark.asyncio(loop_scope="module")

Kind = type[OpenAIChatModel] | type[OpenAIResponsesModel]
APIS = pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel], ids=["chat", "responses"])
_ITS_OWN = ("timestamp", "run_id", "conversation_id", "provider_url")
"""What Pydantic AI makes up for each run, or knows of its own configuration."""


@APIS
@pytest.mark.parametrize("name", ["demo", "demo-gzip"])
async def test_answer(model: BuiltinModel, exporting: Gateway, sink: SpanSink, kind: Kind, name: str) -> None:
    async def asking(url: str, http: httpx2.AsyncClient) -> Any:
        run = await agent(kind, name, url, http).run(WEATHER)
        return run.output, run.usage, plain(run.all_messages())

    both = await same_both_ways(asking, model, exporting)
    assert both.told[0] == FORECAST
    await check_spans(sink, both.exchanges, answer(name, (18, 24), FORECAST, WEATHER))


@APIS
async def test_stream(model: BuiltinModel, exporting: Gateway, sink: SpanSink, kind: Kind) -> None:
    async def asking(url: str, http: httpx2.AsyncClient) -> Any:
        async with agent(kind, "demo-reasoning", url, http).run_stream(WEATHER) as run:
            pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
            return pieces, run.usage, plain(run.all_messages())

    both = await same_both_ways(asking, model, exporting)
    assert len(both.told[0]) > 15
    await check_spans(sink, both.exchanges, answer("demo-reasoning", (18, 54), FORECAST, WEATHER, thought=True))


@APIS
async def test_tool_loop(model: BuiltinModel, exporting: Gateway, sink: SpanSink, kind: Kind) -> None:
    async def asking(url: str, http: httpx2.AsyncClient) -> Any:
        asked = agent(kind, "demo-tools", url, http)
        asked.tool_plain(weather)
        run = await asked.run(WEATHER)
        return run.output, run.usage, plain(run.all_messages())

    both = await same_both_ways(asking, model, exporting)
    responses = kind is OpenAIResponsesModel
    told, tokens = (TOLD.replace("tool", "tool weather"), (35, 20)) if responses else (TOLD, (31, 18))
    assert both.told[0] == told
    await check_spans(sink, both.exchanges, call((18, 18)), answer("demo-tools", tokens, told, RESULT, tool=True))


@APIS
@pytest.mark.parametrize("status", OPENAI_ERRORS)
async def test_error(model: BuiltinModel, exporting: Gateway, sink: SpanSink, kind: Kind, status: int) -> None:
    name = f"demo-error-{status}"

    async def asking(url: str, http: httpx2.AsyncClient) -> Any:
        return await agent(kind, name, url, http).run(WEATHER)

    both = await same_both_ways(asking, model, exporting)
    assert isinstance(both.told, ModelHTTPError)
    assert both.told.status_code == status
    await check_spans(sink, both.exchanges, error(name, OPENAI_ERRORS[status], WEATHER))


@APIS
async def test_error_in_a_stream(model: BuiltinModel, exporting: Gateway, kind: Kind) -> None:
    async def asking(url: str, http: httpx2.AsyncClient) -> Any:
        async with agent(kind, "demo-error-in-stream", url, http).run_stream(WEATHER) as run:
            return [piece async for piece in run.stream_text(delta=True, debounce_by=None)]

    both = await same_both_ways(asking, model, exporting)
    assert isinstance(both.told, Exception)
    assert "breaks off" in str(both.told)


@APIS
async def test_refusal(model: BuiltinModel, exporting: Gateway, codeword: str, kind: Kind) -> None:
    before = model.count
    async with httpx2.AsyncClient() as http:
        with pytest.raises(ModelHTTPError) as refused:
            await agent(kind, "demo", exporting.openai_url, http).run(f"Tell me about {codeword}")
    assert refused.value.status_code == 403
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["code"] == "blocked_by_policy"
    assert model.count == before


def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"17 degrees in {city}"


def agent(kind: Kind, name: str, url: str, http: httpx2.AsyncClient) -> Agent[None, str]:
    client = openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0, http_client=http)
    return Agent(kind(name, provider=OpenAIProvider(openai_client=client)), instructions="Be brief.")


def plain(messages: list[ModelMessage]) -> Any:
    return _without(ModelMessagesTypeAdapter.dump_python(messages, mode="json"))


def _without(said: Any) -> Any:
    if isinstance(said, dict):
        return {key: _without(value) for key, value in said.items() if key not in _ITS_OWN}
    return [_without(each) for each in said] if isinstance(said, list) else said
