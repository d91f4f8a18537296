"""Every reason to stop that an API's own SDK knows is one of the conventions', not taken for a plain end by accident."""

import json
from collections.abc import Sequence
from typing import Any, get_args

import anthropic.types
import botocore.session
import pytest
from google.genai import types as google
from openai.types.chat.chat_completion import Choice

from gateway.contracts import Provider
from gateway.model.message import FinishReason
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.bedrock_converse import BedrockConverse
from gateway.providers.gemini_generate import GeminiGenerate
from gateway.providers.openai_chat import OpenAIChat

FILTERED = frozenset(
    {"SAFETY", "PROHIBITED", "BLOCKLIST", "SPII", "RECITATION", "ARMOR", "ESCALATION", "PUP_"}
    | {"guardrail", "filter", "refusal"}
)
CUT = ("MAX_TOKENS", "CONTINUATION", "max_tokens", "length", "context_window", "pause")
DONE = ("STOP", "stop", "end_turn")


def said_by_bedrock() -> Sequence[str]:
    shape: Any = botocore.session.Session().get_service_model("bedrock-runtime").shape_for("StopReason")
    return list(shape.enum)


def meant(provider: Provider, answer: Any) -> FinishReason:
    reader = provider.response_reader(None, 200, "application/json")
    reader.feed(json.dumps(answer).encode())
    [reason] = reader.end(complete=True).finish_reasons
    return reason


def expected(reason: str) -> set[FinishReason]:
    if any(word in reason for word in FILTERED):
        return {"content_filter"}
    if any(word in reason for word in CUT):
        return {"length", "stop"} if "pause" in reason else {"length"}
    if "TOOL" not in reason and ("tool" in reason or reason == "function_call") and "malformed" not in reason:
        return {"tool_call"}
    if any(word == reason or reason.startswith("stop") for word in DONE):
        return {"stop"}
    return {"error", "compaction"}


@pytest.mark.parametrize("reason", [reason.value for reason in google.FinishReason])
def test_of_google(reason: str) -> None:
    candidate = {"content": {"parts": [{"text": "x"}], "role": "model"}, "finishReason": reason}
    assert meant(GeminiGenerate(), {"candidates": [candidate]}) in expected(reason)


@pytest.mark.parametrize("reason", get_args(anthropic.types.StopReason))
def test_of_anthropic(reason: str) -> None:
    answer = {"type": "message", "role": "assistant", "content": [], "stop_reason": reason}
    assert meant(AnthropicMessages(), answer) in expected(reason)


@pytest.mark.parametrize("reason", get_args(Choice.model_fields["finish_reason"].annotation))
def test_of_openai(reason: str) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": reason}
    assert meant(OpenAIChat(), {"choices": [choice]}) in expected(reason)


@pytest.mark.parametrize("reason", said_by_bedrock())
def test_of_bedrock(reason: str) -> None:
    answer = {"output": {"message": {"role": "assistant", "content": [{"text": "x"}]}}, "stopReason": reason}
    assert meant(BedrockConverse(), answer) in expected(reason)
