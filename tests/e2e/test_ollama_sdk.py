"""The official Ollama SDK through the real gateway: it notices nothing, and the gateway notices everything."""

from collections.abc import AsyncIterator
from typing import Any

import ollama
import pytest
import pytest_asyncio

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO: Any = [{"role": "user", "content": "Hello there"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def named(gateway: Gateway, session: str) -> ollama.AsyncClient:
    return ollama.AsyncClient(host=f"{gateway.url}/ollama", headers={"x-session-id": session})


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=f"{gateway.url}/ollama") as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def direct(model: BuiltinModel) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=model.url) as client:
        yield client


async def test_answers_are_the_models(client: ollama.AsyncClient, direct: ollama.AsyncClient) -> None:
    assert await client.chat(model="demo", messages=HELLO) == await direct.chat(model="demo", messages=HELLO)
    assert await client.generate(model="demo", prompt="Hi") == await direct.generate(model="demo", prompt="Hi")
    assert await client.embed(model="demo", input=["a"]) == await direct.embed(model="demo", input=["a"])


async def test_stream_is_the_models_and_is_stored_as_one_answer(gateway: Gateway, direct: ollama.AsyncClient) -> None:
    asked: Any = [{"role": "user", "content": "Hello there", "images": [PIXEL]}]
    told: list[list[Any]] = []
    async with named(gateway, "ollama-stream") as client:
        for each in (client, direct):
            stream = await each.chat(model="demo", messages=asked, stream=True, think=True)
            told.append([part async for part in stream])
    assert told[0] == told[1]
    inlet, response = await gateway.traces("ollama-stream", 2)
    assert (inlet["api"], inlet["operation"], inlet["model"], inlet["stream"]) == ("ollama_chat", "chat", "demo", True)
    assert inlet["messages"][0]["parts"][1]["type"] == "blob"
    assert [part["type"] for part in response["messages"][0]["parts"]] == ["reasoning", "text"]
    assert response["finish_reasons"] == ["stop"]
    assert response["usage"]["input_tokens"] == told[1][-1].prompt_eval_count
    assert response["usage"]["output_tokens"] == told[1][-1].eval_count


async def test_generate_and_embed_are_read(gateway: Gateway) -> None:
    async with named(gateway, "ollama-others") as client:
        text = "".join([part.response async for part in await client.generate("demo", "Hello there", stream=True)])
        await client.embed("demo", ["one", "two"])
    traces = await gateway.traces("ollama-others", 4)
    assert [trace["operation"] for trace in traces[::2]] == ["text_completion", "embeddings"]
    assert traces[1]["messages"][0]["parts"] == [{"type": "text", "content": text}]
    assert len(traces[2]["messages"]) == 2
    assert traces[3]["messages"] == []
    assert traces[3]["usage"]["input_tokens"]


async def test_tool_loop_is_one_session_with_call_and_result(gateway: Gateway) -> None:
    history: list[Any] = [{"role": "user", "content": "How is the weather in Braga?"}]
    async with named(gateway, "ollama-tools") as client:
        first = await client.chat(model="demo-tools", messages=history, tools=TOOLS)
        assert first.message.tool_calls is not None
        assert first.message.tool_calls[0].function.arguments == {"city": "Braga"}
        history += [first.message, {"role": "tool", "tool_name": "weather", "content": "17 degrees"}]
        second = await client.chat(model="demo-tools", messages=history, tools=TOOLS)
    assert "17 degrees" in (second.message.content or "")
    traces = await gateway.traces("ollama-tools", 4)
    assert [trace["participant"] for trace in traces if trace["direction"] == "inlet"] == ["user", "agent"]
    assert traces[1]["finish_reasons"] == ["tool_call"]
    assert traces[2]["messages"][-1]["parts"][0]["response"] == "17 degrees"


@pytest.mark.parametrize("name", ["demo-error-400", "demo-error-404", "demo-error-500"])
async def test_error_is_the_same_exception_as_direct(
    client: ollama.AsyncClient, direct: ollama.AsyncClient, name: str
) -> None:
    caught: list[ollama.ResponseError] = []
    for each in (client, direct):
        with pytest.raises(ollama.ResponseError) as raised:
            await each.chat(model=name, messages=HELLO)
        caught.append(raised.value)
    assert (caught[0].status_code, caught[0].error) == (caught[1].status_code, caught[1].error)


async def test_error_in_a_stream_raises_midway(client: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError, match="breaks off"):
        async for _ in await client.chat(model="demo-error-in-stream", messages=HELLO, stream=True):
            pass


async def test_enforcer_refuses_with_the_sdks_own_exception(
    model: BuiltinModel, client: ollama.AsyncClient, codeword: str
) -> None:
    before = model.count
    with pytest.raises(ollama.ResponseError, match="not for models") as refused:
        await client.chat(model="demo", messages=[{"role": "user", "content": f"Tell me about {codeword}"}])
    assert refused.value.status_code == 403
    assert model.count == before
