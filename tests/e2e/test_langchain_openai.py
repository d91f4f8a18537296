"""LangChain's chat model for OpenAI through the real gateway, by Chat Completions and by Responses."""

from typing import Any

import httpx2
import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import APIStatusError
from pydantic import SecretStr

from gateway.demo.model import BuiltinModel
from tests.e2e.both_ways import same_both_ways
from tests.e2e.gateway_process import Gateway
from tests.e2e.said import FORECAST, OPENAI_ERRORS, RESULT, TOLD, WEATHER, answer, call, check_spans, error
from tests.e2e.span_sink import SpanSink

pytestmark = pytest.mark.asyncio(loop_scope="module")

APIS = pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])


@tool
def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"17 degrees in {city}"


@pytest.fixture(autouse=True)
def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain sends what is said to its maker where the environment says so."""
    for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "false")


@APIS
@pytest.mark.parametrize("name", ["demo", "demo-gzip"])
async def test_answer(model: BuiltinModel, exporting: Gateway, sink: SpanSink, responses: bool, name: str) -> None:
    async def asking(url: str, http: httpx2.AsyncClient) -> Any:
        return plain(await chat(name, url, http, responses).ainvoke(WEATHER))

    both = await same_both_ways(asking, model, exporting)
    assert both.told["usage_metadata"]["output_tokens"] == 24
    await check_spans(sink, both.exchanges, answer(name, (11, 24), FORECAST, WEATHER))


@APIS
async def test_stream(model: BuiltinModel, exporting: Gateway, sink: SpanSink, responses: bool) -> None:
    async def asking(url: str, http: httpx2.AsyncClient) -> list[Any]:
        asked = chat("demo-reasoning", url, http, responses)
        return [plain(chunk) async for chunk in asked.astream(WEATHER)]

    both = await same_both_ways(asking, model, exporting)
    assert len(both.told) > 15
    await check_spans(sink, both.exchanges, answer("demo-reasoning", (11, 54), FORECAST, WEATHER, thought=True))


@APIS
async def test_tool_loop(model: BuiltinModel, exporting: Gateway, sink: SpanSink, responses: bool) -> None:
    async def asking(url: str, http: httpx2.AsyncClient) -> list[Any]:
        asked = chat("demo-tools", url, http, responses).bind_tools([weather])
        history: list[BaseMessage] = [HumanMessage(WEATHER)]
        first = await asked.ainvoke(history)
        history += [first, *[await weather.ainvoke(made) for made in first.tool_calls]]
        return [plain(first), plain(await asked.ainvoke(history))]

    both = await same_both_ways(asking, model, exporting)
    assert [made["args"] for made in both.told[0]["tool_calls"]] == [{"city": "Braga"}]
    told, tokens = (TOLD.replace("tool", "tool weather"), (28, 20)) if responses else (TOLD, (24, 18))
    await check_spans(sink, both.exchanges, call((11, 18)), answer("demo-tools", tokens, told, RESULT, tool=True))


@APIS
@pytest.mark.parametrize("status", OPENAI_ERRORS)
async def test_error(model: BuiltinModel, exporting: Gateway, sink: SpanSink, responses: bool, status: int) -> None:
    name = f"demo-error-{status}"

    async def asking(url: str, http: httpx2.AsyncClient) -> Any:
        return await chat(name, url, http, responses).ainvoke(WEATHER)

    both = await same_both_ways(asking, model, exporting)
    assert isinstance(both.told, APIStatusError)
    assert both.told.status_code == status
    await check_spans(sink, both.exchanges, error(name, OPENAI_ERRORS[status], WEATHER))


@APIS
async def test_error_in_a_stream(model: BuiltinModel, exporting: Gateway, responses: bool) -> None:
    async def asking(url: str, http: httpx2.AsyncClient) -> Any:
        asked = chat("demo-error-in-stream", url, http, responses)
        return [plain(chunk) async for chunk in asked.astream(WEATHER)]

    both = await same_both_ways(asking, model, exporting)
    assert isinstance(both.told, Exception)
    assert "breaks off" in str(both.told)


@APIS
async def test_refusal(exporting: Gateway, model: BuiltinModel, codeword: str, responses: bool) -> None:
    before = model.count
    async with httpx2.AsyncClient() as http:
        with pytest.raises(APIStatusError) as refused:
            await chat("demo", exporting.openai_url, http, responses).ainvoke(f"Tell me about {codeword}")
    assert refused.value.code == "blocked_by_policy"
    assert model.count == before


def chat(name: str, url: str, http: httpx2.AsyncClient, responses: bool) -> ChatOpenAI:
    return ChatOpenAI(
        model=name,
        base_url=url,
        api_key=SecretStr("any"),
        max_retries=0,
        stream_usage=True,
        http_async_client=http,
        use_responses_api=responses,
    )


def plain(message: BaseMessage) -> dict[str, Any]:
    """Without the id, which LangChain makes up for each run where the API gave none."""
    return message.model_dump(exclude={"id"})
