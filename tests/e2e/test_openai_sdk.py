"""The official OpenAI SDK through the real gateway: it notices nothing, and the gateway notices everything."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

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


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=gateway.openai_url, api_key="any", max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def direct(model: BuiltinModel) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{model.url}/v1", api_key="any", max_retries=0) as client:
        yield client


async def test_answer_is_the_models(client: openai.AsyncOpenAI, direct: openai.AsyncOpenAI) -> None:
    relayed = await client.chat.completions.create(model="demo", messages=HELLO)
    assert relayed == await direct.chat.completions.create(model="demo", messages=HELLO)


async def test_stream_is_the_models_chunk_by_chunk(client: openai.AsyncOpenAI, direct: openai.AsyncOpenAI) -> None:
    streams = [
        await each.chat.completions.create(
            model="demo-reasoning", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        for each in (client, direct)
    ]
    relayed, told = [[chunk async for chunk in stream] for stream in streams]
    assert relayed == told


async def test_sync_client_streams_and_answers(gateway: Gateway) -> None:
    def ask() -> tuple[str, str]:
        with openai.OpenAI(base_url=gateway.openai_url, api_key="any") as client:
            whole = client.chat.completions.create(model="demo", messages=HELLO)
            stream = client.chat.completions.create(model="demo", messages=HELLO, stream=True)
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
        return whole.choices[0].message.content or "", "".join(pieces)

    whole, streamed = await asyncio.to_thread(ask)
    assert whole
    assert whole == streamed


async def test_tool_loop_of_one_user_is_one_session(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    named: Any = {"x-user-id": "grace"}
    asked: Any = [{"role": "user", "content": "How is the weather in Braga?"}]
    first = await client.chat.completions.with_raw_response.create(
        model="demo-tools", messages=asked, tools=TOOLS, extra_headers=named
    )
    session_id = first.headers["x-spangate-session"]
    message = first.parse().choices[0].message
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Braga"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "17 degrees"}
    history: Any = [*asked, message.model_dump(exclude_none=True), result]
    second = await client.chat.completions.with_raw_response.create(
        model="demo-tools", messages=history, tools=TOOLS, extra_headers=named
    )
    assert "17 degrees" in (second.parse().choices[0].message.content or "")
    assert second.headers["x-spangate-session"] == session_id
    traces = await gateway.traces(session_id, 4)
    assert [trace["direction"] for trace in traces] == ["inlet", "response"] * 2
    assert [trace["participant"] for trace in traces if trace["direction"] == "inlet"] == ["user", "agent"]


@pytest.mark.parametrize(
    "name",
    ["demo-error-400", "demo-error-401", "demo-error-403", "demo-error-429", "demo-error-500", "demo-error-529"],
)
async def test_error_is_the_same_exception_as_direct(
    client: openai.AsyncOpenAI, direct: openai.AsyncOpenAI, name: str
) -> None:
    caught: list[openai.APIStatusError] = []
    for each in (client, direct):
        with pytest.raises(openai.APIStatusError) as raised:
            await each.chat.completions.create(model=name, messages=HELLO)
        caught.append(raised.value)
    relayed, told = caught
    assert type(relayed) is type(told)
    assert (relayed.status_code, relayed.type, relayed.code, relayed.body, relayed.request_id) == (
        told.status_code,
        told.type,
        told.code,
        told.body,
        told.request_id,
    )


@pytest.mark.parametrize("name", ["demo-error-429", "demo-error-500"])
async def test_each_retry_of_the_sdk_reaches_the_model(model: BuiltinModel, gateway: Gateway, name: str) -> None:
    before = model.count
    async with openai.AsyncOpenAI(base_url=gateway.openai_url, api_key="any", max_retries=2) as client:
        with pytest.raises(openai.APIStatusError):
            await client.chat.completions.create(model=name, messages=HELLO)
    assert model.count - before == 3
    assert [each.header("x-stainless-retry-count") for each in list(model.requests)[-3:]] == ["0", "1", "2"]


async def test_error_in_a_stream_raises_midway(client: openai.AsyncOpenAI) -> None:
    stream = aiter(await client.chat.completions.create(model="demo-error-in-stream", messages=HELLO, stream=True))
    for _ in range(3):
        await anext(stream)
    with pytest.raises(openai.APIError):
        await anext(stream)


async def test_client_that_hangs_up_midway_frees_the_model_and_is_stored_as_gone(
    model: BuiltinModel, gateway: Gateway, client: openai.AsyncOpenAI
) -> None:
    number = model.count + 1
    stream = await client.chat.completions.create(
        model="demo-hang-mid-stream", messages=HELLO, stream=True, extra_headers={"x-session-id": "hang-up-openai"}
    )
    await anext(aiter(stream))
    await stream.close()
    request = await model.received(number)
    await request.gone()
    assert request.aborted
    traces = await gateway.traces("hang-up-openai", 2)
    assert {trace["end"] for trace in traces} == {"client_gone"}


async def test_session_header_names_the_session_in_the_listing(gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.with_raw_response.create(
        model="demo", messages=HELLO, extra_headers={"x-session-id": "chat-openai-1"}
    )
    assert answer.headers["x-spangate-session"] == "chat-openai-1"
    await gateway.traces("chat-openai-1", 2)
    listed = {session["id"]: session for session in await gateway.sessions()}
    assert listed["chat-openai-1"]["exchanges"] == 1
    assert listed["chat-openai-1"]["source"] == "explicit"


async def test_enforcer_refuses_as_permission_denied_and_the_model_hears_nothing(
    model: BuiltinModel, gateway: Gateway, client: openai.AsyncOpenAI, codeword: str
) -> None:
    before = model.count
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await client.chat.completions.create(
            model="demo",
            messages=[{"role": "user", "content": f"Tell me about {codeword}"}],
            extra_headers={"x-session-id": "refused-openai"},
        )
    assert refused.value.code == "blocked_by_policy"
    assert refused.value.response.headers["x-spangate-code"] == "blocked_by_policy"
    assert codeword not in str(refused.value)
    assert model.count == before
    traces = await gateway.traces("refused-openai", 1)
    assert (traces[0]["outcome"], traces[0]["end"]) == ("blocked", "blocked")


@pytest.mark.parametrize(
    "api", ["responses", "items", "completions", "embeddings", "images", "edits", "speech", "hearing"]
)
async def test_enforcer_reads_what_each_api_is_asked(
    model: BuiltinModel, client: openai.AsyncOpenAI, codeword: str, api: str
) -> None:
    said = f"Tell me about {codeword}"
    item: Any = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": said}]}
    file = ("a.wav", b"RIFF\0\0", "audio/wav")
    asking: dict[str, Any] = {
        "responses": client.responses.create(model="demo", input=said),
        "items": client.responses.create(model="demo", input=[item]),
        "completions": client.completions.create(model="demo", prompt=[said]),
        "embeddings": client.embeddings.create(model="demo", input=[said]),
        "images": client.images.generate(model="demo", prompt=said),
        "edits": client.images.edit(model="demo", prompt=said, image=file),
        "speech": client.audio.speech.create(model="demo", voice="alloy", input=said),
        "hearing": client.audio.transcriptions.create(model="demo", prompt=said, file=file),
    }
    asked = asking.pop(api)
    for other in asking.values():
        other.close()
    before = model.count
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await asked
    assert refused.value.code == "blocked_by_policy"
    assert model.count == before
