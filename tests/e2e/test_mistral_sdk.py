"""The official Mistral SDK through the real gateway: it notices nothing, and the gateway notices everything."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from mistralai.client import Mistral
from mistralai.client.errors import MistralError

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO: Any = [{"role": "user", "content": [{"type": "text", "text": "Hello there"}]}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[Mistral]:
    async with Mistral(api_key="any", server_url=f"{gateway.url}/mistral") as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def direct(model: BuiltinModel) -> AsyncIterator[Mistral]:
    async with Mistral(api_key="any", server_url=model.url) as client:
        yield client


def named(session: str) -> dict[str, str]:
    return {"x-session-id": session}


async def test_answers_are_the_models(gateway: Gateway, client: Mistral, direct: Mistral) -> None:
    relayed = await client.chat.complete_async(model="demo", messages=HELLO, http_headers=named("mistral-chat"))
    assert relayed == await direct.chat.complete_async(model="demo", messages=HELLO)
    inlet, response = await gateway.traces("mistral-chat", 2)
    assert (inlet["provider"], inlet["api"], inlet["model"]) == ("mistral", "openai_chat", "demo")
    assert inlet["messages"][0]["parts"] == [{"type": "text", "content": "Hello there"}]
    assert response["usage"]["state"] == "reported"


async def test_stream_is_the_models_chunk_by_chunk(client: Mistral, direct: Mistral) -> None:
    told: list[list[Any]] = []
    for each in (client, direct):
        async with await each.chat.stream_async(model="demo", messages=HELLO) as stream:
            told.append([event.data async for event in stream])
    assert told[0] == told[1]
    assert len(told[0]) > 3


async def test_fill_in_the_middle_is_read(gateway: Gateway, client: Mistral, direct: Mistral) -> None:
    asked: Any = {"model": "demo", "prompt": "def add(a, b):", "suffix": "return c"}
    relayed = await client.fim.complete_async(**asked, http_headers=named("mistral-fim"))
    assert relayed == await direct.fim.complete_async(**asked)
    inlet, response = await gateway.traces("mistral-fim", 2)
    assert (inlet["api"], inlet["operation"]) == ("mistral_fim", "text_completion")
    assert [part["content"] for part in inlet["messages"][0]["parts"]] == ["def add(a, b):", "return c"]
    assert response["finish_reasons"] == ["stop"]


async def test_an_agent_is_read(gateway: Gateway, client: Mistral, direct: Mistral) -> None:
    asked: Any = {"agent_id": "demo", "messages": HELLO}
    relayed = await client.agents.complete_async(**asked, http_headers=named("mistral-agent"))
    assert relayed == await direct.agents.complete_async(**asked)
    inlet, response = await gateway.traces("mistral-agent", 2)
    assert (inlet["api"], inlet["operation"], inlet["model"]) == ("mistral_agents", "chat", "")
    assert inlet["messages"][0]["parts"] == [{"type": "text", "content": "Hello there"}]
    assert (response["finish_reasons"], response["usage"]["state"]) == (["stop"], "reported")


async def test_an_agents_stream_is_the_models_chunk_by_chunk(
    gateway: Gateway, client: Mistral, direct: Mistral
) -> None:
    asked: Any = {"agent_id": "demo", "messages": HELLO, "http_headers": named("mistral-agent-stream")}
    told: list[list[Any]] = []
    for each in (client, direct):
        async with await each.agents.stream_async(**asked) as stream:
            told.append([event.data async for event in stream])
    assert told[0] == told[1]
    assert len(told[0]) > 3
    inlet, response = await gateway.traces("mistral-agent-stream", 2)
    assert (inlet["api"], response["finish_reasons"]) == ("mistral_agents", ["stop"])


async def test_an_agents_tool_call_is_the_models(gateway: Gateway, client: Mistral, direct: Mistral) -> None:
    asked: Any = {"agent_id": "demo-tools", "messages": [{"role": "user", "content": "How is the weather in Braga?"}]}
    relayed = await client.agents.complete_async(**asked, tools=TOOLS, http_headers=named("mistral-agent-tools"))
    assert relayed == await direct.agents.complete_async(**asked, tools=TOOLS)
    _, response = await gateway.traces("mistral-agent-tools", 2)
    assert response["finish_reasons"] == ["tool_call"]


@pytest.mark.parametrize("name", ["demo-error-400", "demo-error-429", "demo-no-such-agent"])
async def test_an_agents_error_is_the_same_exception_as_direct(client: Mistral, direct: Mistral, name: str) -> None:
    caught: list[MistralError] = []
    for each in (client, direct):
        with pytest.raises(MistralError) as raised:
            await each.agents.complete_async(agent_id=name, messages=HELLO)
        caught.append(raised.value)
    relayed, told = caught
    assert type(relayed) is type(told)
    assert (relayed.status_code, relayed.body) == (told.status_code, told.body)


async def test_tool_loop_is_one_session_with_call_and_result(gateway: Gateway, client: Mistral) -> None:
    history: list[Any] = [{"role": "user", "content": "How is the weather in Braga?"}]
    sent: Any = {"model": "demo-tools", "tools": TOOLS, "http_headers": named("mistral-tools")}
    first = await client.chat.complete_async(messages=history, **sent)
    message = first.choices[0].message
    assert message is not None
    assert message.tool_calls
    history += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "17 degrees"}]
    second = await client.chat.complete_async(messages=history, **sent)
    assert "17 degrees" in str(second.choices[0].message)
    traces = await gateway.traces("mistral-tools", 4)
    assert [trace["participant"] for trace in traces if trace["direction"] == "inlet"] == ["user", "agent"]


@pytest.mark.parametrize("name", ["demo-error-400", "demo-error-401", "demo-error-429", "demo-error-500"])
async def test_error_is_the_same_exception_as_direct(client: Mistral, direct: Mistral, name: str) -> None:
    caught: list[MistralError] = []
    for each in (client, direct):
        with pytest.raises(MistralError) as raised:
            await each.chat.complete_async(model=name, messages=HELLO)
        caught.append(raised.value)
    relayed, told = caught
    assert type(relayed) is type(told)
    assert (relayed.status_code, relayed.body) == (told.status_code, told.body)


async def test_error_in_a_stream_raises_midway(client: Mistral) -> None:
    async with await client.chat.stream_async(model="demo-error-in-stream", messages=HELLO) as stream:
        with pytest.raises(MistralError):
            async for _ in stream:
                pass


async def test_enforcer_refuses_with_the_sdks_own_exception(
    model: BuiltinModel, client: Mistral, codeword: str
) -> None:
    before = model.count
    asked: Any = [{"role": "user", "content": f"Tell me about {codeword}"}]
    with pytest.raises(MistralError, match="not for models") as refused:
        await client.chat.complete_async(model="demo", messages=asked)
    assert refused.value.status_code == 403
    assert model.count == before
