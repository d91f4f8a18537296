"""The official Cohere SDK (version 2) through the real gateway: it notices nothing, the gateway notices everything."""

from collections.abc import AsyncIterator
from typing import Any

import cohere
import httpx
import pytest
import pytest_asyncio
from cohere.core.api_error import ApiError

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # The SDK reads its own types by a name that pydantic has given another.
    pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated"),
]

HELLO: Any = [{"role": "user", "content": "Hello there"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def options(session: str) -> Any:
    return {"max_retries": 0, "additional_headers": {"x-session-id": session}}


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[cohere.AsyncClientV2]:
    async with httpx.AsyncClient() as transport:
        yield cohere.AsyncClientV2(api_key="any", base_url=f"{gateway.url}/cohere", httpx_client=transport)


@pytest_asyncio.fixture(loop_scope="module")
async def direct(model: BuiltinModel) -> AsyncIterator[cohere.AsyncClientV2]:
    async with httpx.AsyncClient() as transport:
        yield cohere.AsyncClientV2(api_key="any", base_url=model.url, httpx_client=transport)


async def test_answers_are_the_models(
    gateway: Gateway, client: cohere.AsyncClientV2, direct: cohere.AsyncClientV2
) -> None:
    relayed = await client.chat(model="demo", messages=HELLO, request_options=options("cohere-chat"))
    assert relayed == await direct.chat(model="demo", messages=HELLO)
    inlet, response = await gateway.traces("cohere-chat", 2)
    assert (inlet["api"], inlet["operation"], inlet["model"]) == ("cohere_chat", "chat", "demo")
    assert response["finish_reasons"] == ["stop"]
    assert relayed.usage is not None
    assert relayed.usage.tokens is not None
    assert response["usage"]["output_tokens"] == relayed.usage.tokens.output_tokens


async def test_stream_is_the_models_and_is_stored_as_one_answer(
    gateway: Gateway, client: cohere.AsyncClientV2, direct: cohere.AsyncClientV2
) -> None:
    told: list[list[Any]] = []
    for each in (client, direct):
        stream = each.chat_stream(model="demo-reasoning", messages=HELLO, request_options=options("cohere-stream"))
        told.append([event async for event in stream])
    assert told[0] == told[1]
    inlet, response = await gateway.traces("cohere-stream", 2)
    assert inlet["stream"] is True
    assert [part["type"] for part in response["messages"][0]["parts"]] == ["reasoning", "text"]
    assert response["usage"]["state"] == "reported"


async def test_tool_loop_is_one_session_with_call_and_result(gateway: Gateway, client: cohere.AsyncClientV2) -> None:
    history: list[Any] = [{"role": "user", "content": "How is the weather in Braga?"}]
    sent = options("cohere-tools")
    first = await client.chat(model="demo-tools", messages=history, tools=TOOLS, request_options=sent)
    assert first.message.tool_calls is not None
    call = first.message.tool_calls[0]
    history.append({"role": "assistant", "tool_calls": [call], "tool_plan": first.message.tool_plan})
    history.append({"role": "tool", "tool_call_id": call.id, "content": [{"type": "text", "text": "17 degrees"}]})
    second = await client.chat(model="demo-tools", messages=history, tools=TOOLS, request_options=sent)
    assert "17 degrees" in str(second.message.content)
    traces = await gateway.traces("cohere-tools", 4)
    assert [trace["participant"] for trace in traces if trace["direction"] == "inlet"] == ["user", "agent"]
    assert traces[1]["messages"][0]["parts"][-1]["arguments"] == {"city": "Braga"}
    assert traces[2]["messages"][-1]["parts"][0] == {
        "type": "tool_call_response",
        "response": "17 degrees",
        "id": call.id,
    }


async def test_vectors_and_rankings_are_the_models(
    gateway: Gateway, client: cohere.AsyncClientV2, direct: cohere.AsyncClientV2
) -> None:
    sent = options("cohere-embed")
    vectors: Any = {"model": "demo", "texts": ["one"], "input_type": "search_query", "embedding_types": ["float"]}
    assert await client.embed(**vectors, request_options=sent) == await direct.embed(**vectors)
    ranking: Any = {"model": "demo", "query": "one", "documents": ["two", "three"]}
    assert await client.rerank(**ranking, request_options=sent) == await direct.rerank(**ranking)
    traces = await gateway.traces("cohere-embed", 4)
    assert [trace["operation"] for trace in traces[::2]] == ["embeddings", "rerank"]
    assert traces[1]["usage"]["input_tokens"]
    assert [part["content"] for part in traces[2]["messages"][0]["parts"]] == ["one", "two", "three"]


@pytest.mark.parametrize("name", ["demo-error-400", "demo-error-401", "demo-error-429", "demo-error-500"])
async def test_error_is_the_same_exception_as_direct(
    client: cohere.AsyncClientV2, direct: cohere.AsyncClientV2, name: str
) -> None:
    caught: list[ApiError] = []
    for each in (client, direct):
        with pytest.raises(ApiError) as raised:
            await each.chat(model=name, messages=HELLO, request_options={"max_retries": 0})
        caught.append(raised.value)
    relayed, told = caught
    assert type(relayed) is type(told)
    assert (relayed.status_code, relayed.body) == (told.status_code, told.body)


async def test_stream_that_fails_midway_ends_in_its_error(gateway: Gateway, client: cohere.AsyncClientV2) -> None:
    sent = options("cohere-midway")
    stream = client.chat_stream(model="demo-error-in-stream", messages=HELLO, request_options=sent)
    last = [event async for event in stream][-1]
    assert last.type == "message-end"
    response = (await gateway.traces("cohere-midway", 2))[1]
    assert (response["error"], response["finish_reasons"]) == ("ERROR", ["error"])


async def test_enforcer_refuses_as_forbidden(model: BuiltinModel, client: cohere.AsyncClientV2, codeword: str) -> None:
    before = model.count
    asked: Any = [{"role": "user", "content": f"Tell me about {codeword}"}]
    with pytest.raises(cohere.ForbiddenError, match="not for models"):
        await client.chat(model="demo", messages=asked, request_options={"max_retries": 0})
    assert model.count == before
