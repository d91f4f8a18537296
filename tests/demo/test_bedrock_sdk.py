"""boto3 against the built-in model, with nothing between."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from gateway.demo.model import BuiltinModel
from tests.bedrock import bedrock, events_of

HELLO: Any = [{"role": "user", "content": [{"text": "Hello there"}]}]
WEATHER: Any = {"type": "object", "properties": {"city": {"type": "string"}, "wind": {"type": "boolean"}}}
TOOLS: Any = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": WEATHER}}}]}
NATIVE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100}


async def asking(model: BuiltinModel, ask: Callable[[Any], Any]) -> Any:
    def run() -> Any:
        with bedrock(model.url) as client:
            return ask(client)

    return await asyncio.to_thread(run)


async def test_converse_answers_with_text_usage_and_a_stop_reason(model: BuiltinModel) -> None:
    answer = await asking(model, lambda client: client.converse(modelId="demo", messages=HELLO))
    [block] = answer["output"]["message"]["content"]
    assert block["text"]
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"]["totalTokens"] == answer["usage"]["inputTokens"] + answer["usage"]["outputTokens"] > 0


async def test_converse_stream_says_the_same(model: BuiltinModel) -> None:
    def ask(client: Any) -> tuple[Any, list[Any]]:
        whole = client.converse(modelId="demo-reasoning", messages=HELLO)
        return whole, events_of(client.converse_stream(modelId="demo-reasoning", messages=HELLO)["stream"])

    whole, events = await asking(model, ask)
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    reasoning, said = whole["output"]["message"]["content"]
    assert "".join(delta.get("text", "") for delta in deltas) == said["text"]
    thought = "".join(delta.get("reasoningContent", {}).get("text", "") for delta in deltas)
    assert thought == reasoning["reasoningContent"]["reasoningText"]["text"]
    assert events[-1]["metadata"]["usage"]["outputTokens"] == whole["usage"]["outputTokens"]


async def test_tool_loop_calls_then_answers_with_the_result(model: BuiltinModel) -> None:
    asked = [{"role": "user", "content": [{"text": "How is the weather in Porto?"}]}]

    def ask(client: Any) -> tuple[Any, Any]:
        first = client.converse(modelId="demo-tools", messages=asked, toolConfig=TOOLS)
        message = first["output"]["message"]
        result = {"toolUseId": message["content"][0]["toolUse"]["toolUseId"], "content": [{"json": {"celsius": 17}}]}
        history = [*asked, message, {"role": "user", "content": [{"toolResult": result}]}]
        return first, client.converse(modelId="demo-tools", messages=history, toolConfig=TOOLS)

    first, second = await asking(model, ask)
    assert first["stopReason"] == "tool_use"
    assert first["output"]["message"]["content"][0]["toolUse"]["input"] == {"city": "Porto", "wind": True}
    assert second["stopReason"] == "end_turn"
    assert '"celsius":17' in second["output"]["message"]["content"][0]["text"]


async def test_streamed_tool_call_joins_to_its_input(model: BuiltinModel) -> None:
    def ask(client: Any) -> list[Any]:
        return events_of(client.converse_stream(modelId="demo-tools", messages=HELLO, toolConfig=TOOLS)["stream"])

    events = await asking(model, ask)
    assert events[1]["contentBlockStart"]["start"]["toolUse"]["name"] == "weather"
    pieces = [
        event["contentBlockDelta"]["delta"]["toolUse"]["input"] for event in events if "contentBlockDelta" in event
    ]
    assert json.loads("".join(pieces)) == {"city": "Lisbon", "wind": True}


async def test_a_native_answer_and_its_stream_are_anthropics(model: BuiltinModel) -> None:
    body = json.dumps(NATIVE | {"messages": [{"role": "user", "content": "Hello there"}]})

    def ask(client: Any) -> tuple[Any, list[Any]]:
        whole = json.loads(client.invoke_model(modelId="demo", body=body)["body"].read())
        stream = client.invoke_model_with_response_stream(modelId="demo", body=body)["body"]
        return whole, [json.loads(event["chunk"]["bytes"]) for event in events_of(stream)]

    whole, events = await asking(model, ask)
    assert (whole["type"], whole["stop_reason"]) == ("message", "end_turn")
    texts = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(texts) == whole["content"][0]["text"]
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == whole["usage"]["output_tokens"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("demo-error-400", "ValidationException"),
        ("demo-error-403", "AccessDeniedException"),
        ("demo-error-429", "ThrottlingException"),
        ("demo-error-500", "InternalServerException"),
        ("demo-error-503", "ServiceUnavailableException"),
        ("demo-no-such-model", "ResourceNotFoundException"),
    ],
)
async def test_errors_have_awss_names(model: BuiltinModel, name: str, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        await asking(model, lambda client: client.converse(modelId=name, messages=HELLO))
    assert caught.value.response["Error"]["Code"] == code


async def test_an_error_in_a_stream_raises_midway(model: BuiltinModel) -> None:
    def ask(client: Any) -> list[Any]:
        return events_of(client.converse_stream(modelId="demo-error-in-stream", messages=HELLO)["stream"])

    with pytest.raises(EventStreamError, match="breaks off"):
        await asking(model, ask)


async def test_a_body_that_is_none_of_the_apis_is_a_validation_error(model: BuiltinModel) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        await asking(model, lambda client: client.invoke_model(modelId="demo", body=b"[]"))
