"""The official Anthropic SDK against the built-in model, with nothing between."""

from typing import Any

import anthropic
import pytest

HELLO: Any = [{"role": "user", "content": "Hello there"}]
TOOLS: Any = [
    {
        "name": "weather",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}, "wind": {"type": "boolean"}}},
    }
]
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}


async def test_unary_answer_has_text_usage_and_a_stop_reason(anthropic_client: anthropic.AsyncAnthropic) -> None:
    answer = await anthropic_client.messages.create(model="demo", max_tokens=100, messages=HELLO)
    assert [block.type for block in answer.content] == ["text"]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


async def test_stream_ends_in_the_same_message_as_the_unary_answer(anthropic_client: anthropic.AsyncAnthropic) -> None:
    unary = await anthropic_client.messages.create(model="demo", max_tokens=100, messages=HELLO)
    async with anthropic_client.messages.stream(model="demo", max_tokens=100, messages=HELLO) as stream:
        streamed = await stream.get_final_message()
    assert [block.model_dump()["text"] for block in streamed.content] == [
        block.model_dump()["text"] for block in unary.content
    ]
    assert streamed.usage.output_tokens == unary.usage.output_tokens
    assert streamed.stop_reason == "end_turn"


async def test_tool_loop_calls_then_answers_with_the_result(anthropic_client: anthropic.AsyncAnthropic) -> None:
    asked: Any = [{"role": "user", "content": "How is the weather in Porto?"}]
    first = await anthropic_client.messages.create(model="demo-tools", max_tokens=100, messages=asked, tools=TOOLS)
    call = first.content[0]
    assert first.stop_reason == "tool_use"
    assert call.type == "tool_use"
    assert call.input == {"city": "Porto", "wind": True}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "17 degrees, some wind"}
    history: Any = [*asked, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = await anthropic_client.messages.create(model="demo-tools", max_tokens=100, messages=history, tools=TOOLS)
    assert second.stop_reason == "end_turn"
    assert "17 degrees" in second.content[0].model_dump()["text"]


async def test_a_user_names_the_tool_and_its_arguments(anthropic_client: anthropic.AsyncAnthropic) -> None:
    clock: Any = {"name": "clock", "input_schema": {"type": "object"}}
    said = 'Call the tool moon with {}. Call the tool clock with {"zones": ["WET"], "style": {"hours": 24}}, please.'
    message = await anthropic_client.messages.create(
        model="any",
        max_tokens=100,
        messages=[{"role": "user", "content": said}, {"role": "system", "content": "Call the tool weather with {}."}],
        tools=[*TOOLS, clock],
    )
    [call] = message.content
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("clock", {"zones": ["WET"], "style": {"hours": 24}})


@pytest.mark.parametrize(
    "said", ["call the tool weather with {}", 'call the tool weather with {"city"', "No tool, thanks"]
)
async def test_without_tools_or_arguments_that_can_be_read_it_is_answered(
    anthropic_client: anthropic.AsyncAnthropic, said: str
) -> None:
    tools = [] if said.endswith("{}") else TOOLS
    asked: Any = [{"role": "user", "content": said}]
    message = await anthropic_client.messages.create(model="any", max_tokens=100, messages=asked, tools=tools)
    assert [block.type for block in message.content] == ["text"]


async def test_streamed_tool_call_joins_to_its_input(anthropic_client: anthropic.AsyncAnthropic) -> None:
    async with anthropic_client.messages.stream(
        model="demo-tools", max_tokens=100, messages=HELLO, tools=TOOLS
    ) as stream:
        message = await stream.get_final_message()
    assert message.content[0].model_dump()["input"] == {"city": "Lisbon", "wind": True}


async def test_thinking_on_request_comes_first_with_a_signature(anthropic_client: anthropic.AsyncAnthropic) -> None:
    async with anthropic_client.messages.stream(
        model="demo", max_tokens=2000, messages=HELLO, thinking=THINKING
    ) as stream:
        message = await stream.get_final_message()
    thought = message.content[0]
    assert thought.type == "thinking"
    assert thought.signature
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens > 0


async def test_what_was_marked_is_read_from_the_cache_on_the_next_turn(
    anthropic_client: anthropic.AsyncAnthropic,
) -> None:
    marked: Any = [{"type": "text", "text": "You are brief.", "cache_control": {"type": "ephemeral"}}]
    answer = await anthropic_client.messages.create(model="demo", max_tokens=100, messages=HELLO, system=marked)
    assert answer.usage.cache_read_input_tokens
    assert answer.usage.cache_creation_input_tokens
    assert answer.usage.input_tokens == 0


async def test_tokens_are_counted_without_an_answer(anthropic_client: anthropic.AsyncAnthropic) -> None:
    counted = await anthropic_client.messages.count_tokens(model="demo", messages=HELLO)
    answer = await anthropic_client.messages.create(model="demo", max_tokens=100, messages=HELLO)
    assert counted.input_tokens == answer.usage.input_tokens


@pytest.mark.parametrize(
    ("model_name", "raised", "kind"),
    [
        ("demo-error-400", anthropic.BadRequestError, "invalid_request_error"),
        ("demo-error-401", anthropic.AuthenticationError, "authentication_error"),
        ("demo-error-403", anthropic.PermissionDeniedError, "permission_error"),
        ("demo-error-429", anthropic.RateLimitError, "rate_limit_error"),
        ("demo-error-500", anthropic.InternalServerError, "api_error"),
        ("demo-error-529", anthropic.InternalServerError, "overloaded_error"),
        ("demo-nonsense", anthropic.NotFoundError, "not_found_error"),
    ],
)
async def test_errors_raise_the_sdks_own_exceptions(
    anthropic_client: anthropic.AsyncAnthropic, model_name: str, raised: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(raised) as caught:
        await anthropic_client.messages.create(model=model_name, max_tokens=100, messages=HELLO)
    body: Any = caught.value.body
    assert body["error"]["type"] == kind
    assert body["request_id"] == caught.value.request_id


async def test_error_in_a_stream_raises_midway(anthropic_client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.APIStatusError):
        async with anthropic_client.messages.stream(
            model="demo-error-in-stream", max_tokens=100, messages=HELLO
        ) as stream:
            await stream.get_final_message()


async def test_models_are_listed(anthropic_client: anthropic.AsyncAnthropic) -> None:
    names = [model.id async for model in await anthropic_client.models.list()]
    assert {"demo", "demo-tools"} <= set(names)
