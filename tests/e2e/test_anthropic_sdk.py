"""The official Anthropic SDK through the real gateway: it notices nothing, and the gateway notices everything."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
import pytest_asyncio

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO: Any = [{"role": "user", "content": "Hello there"}]
TOOLS: Any = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=gateway.anthropic_url, api_key="any", max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def direct(model: BuiltinModel) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=model.url, api_key="any", max_retries=0) as client:
        yield client


async def test_answer_is_the_models(client: anthropic.AsyncAnthropic, direct: anthropic.AsyncAnthropic) -> None:
    relayed = await client.messages.create(model="demo", max_tokens=100, messages=HELLO)
    assert relayed == await direct.messages.create(model="demo", max_tokens=100, messages=HELLO)


async def test_stream_is_the_models_event_by_event(
    client: anthropic.AsyncAnthropic, direct: anthropic.AsyncAnthropic
) -> None:
    told: list[list[Any]] = []
    for each in (client, direct):
        stream = await each.messages.create(
            model="demo", max_tokens=2000, messages=HELLO, thinking=THINKING, stream=True
        )
        told.append([event async for event in stream])
    assert told[0] == told[1]
    assert "thinking_delta" in str(told[0])


async def test_sync_client_streams_and_answers(gateway: Gateway) -> None:
    def ask() -> tuple[str, str]:
        with anthropic.Anthropic(base_url=gateway.anthropic_url, api_key="any") as client:
            whole = client.messages.create(model="demo", max_tokens=100, messages=HELLO)
            with client.messages.stream(model="demo", max_tokens=100, messages=HELLO) as stream:
                pieces = list(stream.text_stream)
        return whole.content[0].model_dump()["text"], "".join(pieces)

    whole, streamed = await asyncio.to_thread(ask)
    assert whole
    assert whole == streamed


async def test_tool_loop_of_one_user_is_one_session(gateway: Gateway, client: anthropic.AsyncAnthropic) -> None:
    named: Any = {"x-user-id": "grace"}
    asked: Any = [{"role": "user", "content": "How is the weather in Braga?"}]
    first = await client.messages.with_raw_response.create(
        model="demo-tools", max_tokens=100, messages=asked, tools=TOOLS, extra_headers=named
    )
    session_id = first.headers["x-spangate-session"]
    call = (await first.parse()).content[0]
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "17 degrees"}
    history: Any = [*asked, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    second = await client.messages.with_raw_response.create(
        model="demo-tools", max_tokens=100, messages=history, tools=TOOLS, extra_headers=named
    )
    assert "17 degrees" in (await second.parse()).content[0].model_dump()["text"]
    assert second.headers["x-spangate-session"] == session_id
    traces = await gateway.traces(session_id, 4)
    assert [trace["participant"] for trace in traces if trace["direction"] == "inlet"] == ["user", "agent"]


async def test_tokens_are_counted_as_direct(client: anthropic.AsyncAnthropic, direct: anthropic.AsyncAnthropic) -> None:
    relayed = await client.messages.count_tokens(model="demo", messages=HELLO)
    assert relayed == await direct.messages.count_tokens(model="demo", messages=HELLO)


@pytest.mark.parametrize(
    "name",
    ["demo-error-400", "demo-error-401", "demo-error-403", "demo-error-429", "demo-error-500", "demo-error-529"],
)
async def test_error_is_the_same_exception_as_direct(
    client: anthropic.AsyncAnthropic, direct: anthropic.AsyncAnthropic, name: str
) -> None:
    caught: list[anthropic.APIStatusError] = []
    for each in (client, direct):
        with pytest.raises(anthropic.APIStatusError) as raised:
            await each.messages.create(model=name, max_tokens=100, messages=HELLO)
        caught.append(raised.value)
    relayed, told = caught
    assert type(relayed) is type(told)
    assert (relayed.status_code, relayed.body, relayed.request_id) == (told.status_code, told.body, told.request_id)


@pytest.mark.parametrize("name", ["demo-error-429", "demo-error-500"])
async def test_each_retry_of_the_sdk_reaches_the_model(model: BuiltinModel, gateway: Gateway, name: str) -> None:
    before = model.count
    async with anthropic.AsyncAnthropic(base_url=gateway.anthropic_url, api_key="any", max_retries=2) as client:
        with pytest.raises(anthropic.APIStatusError):
            await client.messages.create(model=name, max_tokens=100, messages=HELLO)
    assert model.count - before == 3
    assert [each.header("x-stainless-retry-count") for each in list(model.requests)[-3:]] == ["0", "1", "2"]


async def test_error_in_a_stream_raises_midway(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.APIStatusError):
        async with client.messages.stream(model="demo-error-in-stream", max_tokens=100, messages=HELLO) as stream:
            await stream.get_final_message()


async def test_client_that_hangs_up_midway_frees_the_model_and_is_stored_as_gone(
    model: BuiltinModel, gateway: Gateway, client: anthropic.AsyncAnthropic
) -> None:
    number = model.count + 1
    stream = await client.messages.create(
        model="demo-hang-mid-stream",
        max_tokens=100,
        messages=HELLO,
        stream=True,
        extra_headers={"x-session-id": "hang-up-anthropic"},
    )
    await anext(aiter(stream))
    await stream.close()
    request = await model.received(number)
    await request.gone()
    assert request.aborted
    traces = await gateway.traces("hang-up-anthropic", 2)
    assert {trace["end"] for trace in traces} == {"client_gone"}


async def test_session_header_names_the_session_in_the_listing(
    gateway: Gateway, client: anthropic.AsyncAnthropic
) -> None:
    answer = await client.messages.with_raw_response.create(
        model="demo", max_tokens=100, messages=HELLO, extra_headers={"x-session-id": "chat-anthropic-1"}
    )
    assert answer.headers["x-spangate-session"] == "chat-anthropic-1"
    await gateway.traces("chat-anthropic-1", 2)
    listed = {session["id"]: session for session in await gateway.sessions()}
    assert listed["chat-anthropic-1"]["exchanges"] == 1
    assert listed["chat-anthropic-1"]["source"] == "explicit"


async def test_enforcer_refuses_as_permission_denied_and_the_model_hears_nothing(
    model: BuiltinModel, gateway: Gateway, client: anthropic.AsyncAnthropic, codeword: str
) -> None:
    before = model.count
    with pytest.raises(anthropic.PermissionDeniedError) as refused:
        await client.messages.create(
            model="demo",
            max_tokens=100,
            messages=[{"role": "user", "content": f"Tell me about {codeword}"}],
            extra_headers={"x-session-id": "refused-anthropic"},
        )
    body: Any = refused.value.body
    assert body["error"]["type"] == "permission_error"
    assert refused.value.response.headers["x-spangate-code"] == "blocked_by_policy"
    assert codeword not in str(refused.value)
    assert model.count == before
    traces = await gateway.traces("refused-anthropic", 1)
    assert (traces[0]["outcome"], traces[0]["end"]) == ("blocked", "blocked")
