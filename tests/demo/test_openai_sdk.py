"""The official OpenAI SDK against the built-in model, with nothing between."""

import asyncio
import json
from typing import Any

import openai
import pytest

from gateway.demo.model import BuiltinModel

HELLO: Any = [{"role": "user", "content": "Hello there"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {"type": "integer"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
            },
        },
    }
]


async def test_unary_answer_has_text_usage_and_a_finish(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(model="demo", messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.id.startswith("chatcmpl-")


async def test_stream_says_the_same_as_the_unary_answer(openai_client: openai.AsyncOpenAI) -> None:
    unary = await openai_client.chat.completions.create(model="demo", messages=HELLO)
    stream = await openai_client.chat.completions.create(
        model="demo", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == unary.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage == unary.usage
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


async def test_stream_without_include_usage_has_no_usage_chunk(openai_client: openai.AsyncOpenAI) -> None:
    stream = await openai_client.chat.completions.create(model="demo", messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_tool_loop_calls_then_answers_with_the_result(openai_client: openai.AsyncOpenAI) -> None:
    asked: Any = [{"role": "user", "content": "How is the weather in Porto over 3 days?"}]
    first = await openai_client.chat.completions.create(model="demo-tools", messages=asked, tools=TOOLS)
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Porto", "days": 3, "unit": "celsius"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "17 degrees, some wind"}
    history: Any = [*asked, message.model_dump(), result]
    second = await openai_client.chat.completions.create(model="demo-tools", messages=history, tools=TOOLS)
    assert second.choices[0].finish_reason == "stop"
    assert "17 degrees" in (second.choices[0].message.content or "")
    assert second.usage is not None
    assert second.usage.prompt_tokens_details is not None
    assert second.usage.prompt_tokens_details.cached_tokens


async def test_streamed_tool_call_arguments_join_to_json(openai_client: openai.AsyncOpenAI) -> None:
    stream = await openai_client.chat.completions.create(model="demo-tools", messages=HELLO, tools=TOOLS, stream=True)
    deltas = [chunk.choices[0].delta async for chunk in stream]
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    arguments = "".join((call.function.arguments or "") for call in calls if call.function)
    assert calls[0].id
    assert json.loads(arguments)["city"] == "Lisbon"


async def test_reasoning_is_counted_and_said(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(model="demo-reasoning", messages=HELLO)
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens
    assert answer.choices[0].message.model_dump()["reasoning_content"]


async def test_token_limit_cuts_the_answer(openai_client: openai.AsyncOpenAI) -> None:
    answer = await openai_client.chat.completions.create(model="demo", messages=HELLO, max_completion_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert len((answer.choices[0].message.content or "").split()) == 2


@pytest.mark.parametrize(
    ("model_name", "raised", "code"),
    [
        ("demo-error-400", openai.BadRequestError, None),
        ("demo-error-401", openai.AuthenticationError, "invalid_api_key"),
        ("demo-error-403", openai.PermissionDeniedError, None),
        ("demo-error-429", openai.RateLimitError, "rate_limit_exceeded"),
        ("demo-error-500", openai.InternalServerError, None),
        ("demo-error-529", openai.InternalServerError, None),
        ("demo-nonsense", openai.NotFoundError, "model_not_found"),
    ],
)
async def test_errors_raise_the_sdks_own_exceptions(
    openai_client: openai.AsyncOpenAI, model_name: str, raised: type[openai.APIStatusError], code: str | None
) -> None:
    with pytest.raises(raised) as caught:
        await openai_client.chat.completions.create(model=model_name, messages=HELLO)
    assert caught.value.code == code
    assert caught.value.request_id


async def test_error_in_a_stream_raises_midway(openai_client: openai.AsyncOpenAI) -> None:
    stream = aiter(
        await openai_client.chat.completions.create(model="demo-error-in-stream", messages=HELLO, stream=True)
    )
    for _ in range(3):
        await anext(stream)
    with pytest.raises(openai.APIError):
        await anext(stream)


async def test_sdk_retry_gets_the_flaky_answer_in_two_requests(model: BuiltinModel) -> None:
    async with openai.AsyncOpenAI(base_url=f"{model.url}/v1", api_key="any", max_retries=1) as client:
        answer = await client.chat.completions.create(model="demo-flaky", messages=HELLO)
    assert answer.choices[0].message.content
    assert [request.header("x-stainless-retry-count") for request in model.requests] == ["0", "1"]


async def test_models_are_listed(openai_client: openai.AsyncOpenAI) -> None:
    names = [model.id async for model in openai_client.models.list()]
    assert {"demo", "demo-tools", "demo-error-529"} <= set(names)


async def test_sync_client_works_too(model: BuiltinModel) -> None:
    def ask() -> str | None:
        with openai.OpenAI(base_url=f"{model.url}/v1", api_key="any") as client:
            answer = client.chat.completions.create(model="demo", messages=HELLO)
            return answer.choices[0].message.content

    assert await asyncio.to_thread(ask)
