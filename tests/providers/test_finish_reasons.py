"""Why an answer ended: every reason that an official SDK knows has one of the conventions' words, any other none."""

import json
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, get_args

import botocore.session
import pytest
from anthropic.types import StopReason
from anthropic.types.beta import BetaStopReason
from cohere.types.chat_finish_reason import ChatFinishReason
from google.genai.types import FinishReason as GeminiFinishReason
from mistralai.client.models.chatcompletionchoice import ChatCompletionChoiceFinishReason
from mistralai.client.models.completionresponsestreamchoice import CompletionResponseStreamChoiceFinishReason
from openai.types.chat.chat_completion import Choice
from openai.types.completion_choice import CompletionChoice
from openai.types.realtime import RealtimeResponseStatus
from openai.types.responses.response import IncompleteDetails

from gateway.model.message import FINISH_REASONS
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache

PROVIDERS = {provider.name: provider for provider in formats()}


def literals(kind: Any) -> Iterator[str]:
    """The strings in a type, however deep unions and aliases have them."""
    if isinstance(kind, str):
        yield kind
    for member in get_args(kind):
        yield from literals(member)


def of_bedrock() -> Iterable[str]:
    enum: list[str] = botocore.session.get_session().get_service_model("bedrock-runtime").shape_for("StopReason").enum
    return enum


def of_enum(kind: type[Enum]) -> Iterable[str]:
    return [member.value for member in kind]


KNOWN: dict[str, Iterable[str]] = {
    "openai_chat": [
        *literals(Choice.model_fields["finish_reason"].annotation),
        *literals(ChatCompletionChoiceFinishReason),
        *literals(CompletionResponseStreamChoiceFinishReason),
    ],
    "openai_completions": literals(CompletionChoice.model_fields["finish_reason"].annotation),
    "openai_responses": literals(IncompleteDetails.model_fields["reason"].annotation),
    "openai_realtime": [
        reason
        for reason in literals(RealtimeResponseStatus.model_fields["reason"].annotation)
        if reason in ("max_output_tokens", "content_filter")  # the others are of a cancelled response
    ],
    "anthropic_messages": [*literals(StopReason), *literals(BetaStopReason)],
    "gemini_generate_content": of_enum(GeminiFinishReason),
    "bedrock_converse": of_bedrock(),
    "cohere_chat": literals(ChatFinishReason),
    "ollama_chat": ["stop", "length", "load", "unload"],  # its SDK says `str`; these are the server's
}
CASES = sorted({(api, reason) for api, reasons in KNOWN.items() for reason in reasons})
FILTERED = frozenset(
    {"SAFETY", "PROHIBITED", "BLOCKLIST", "SPII", "RECITATION", "ARMOR", "ESCALATION", "PUP_"}
    | {"guardrail", "filter", "refusal"}
)
CUT = ("MAX_TOKENS", "CONTINUATION", "max_tokens", "length", "context_window", "pause")
DONE = ("STOP", "stop", "end_turn")
MEANT = ("gemini_generate_content", "anthropic_messages", "openai_chat", "bedrock_converse")
"""APIs whose words tell what they mean."""
TEXT = [{"type": "text", "text": "Hello"}]


def answer(api: str, reason: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "Hello"}
    item = {"type": "message", **message}
    details = {"reason": reason}
    bodies: dict[str, dict[str, Any]] = {
        "openai_chat": {"choices": [{"message": message, "finish_reason": reason}]},
        "openai_completions": {"choices": [{"text": "Hello", "finish_reason": reason}]},
        "openai_responses": {"output": [item], "status": "incomplete", "incomplete_details": details},
        "openai_realtime": {
            "type": "response.done",
            "response": {"output": [item], "status": "incomplete", "status_details": details},
        },
        "anthropic_messages": {"role": "assistant", "content": TEXT, "stop_reason": reason},
        "gemini_generate_content": {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": reason}]},
        "bedrock_converse": {
            "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
            "stopReason": reason,
        },
        "cohere_chat": {"message": {"role": "assistant", "content": TEXT}, "finish_reason": reason},
        "ollama_chat": {"message": message, "done": True, "done_reason": reason},
    }
    return bodies[api]


def finished(api: str, reason: str) -> tuple[list[str], list[str], list[str]]:
    """The reasons, as the API spelled them, and in the messages themselves."""
    request = PROVIDERS[api].read_request(b"{}", KnownMessageCache())
    stream = api == "openai_realtime"
    reader = PROVIDERS[api].response_reader(request, 200, "application/x-ndjson" if stream else "application/json")
    reader.feed(json.dumps(answer(api, reason)).encode())
    reading = reader.end(complete=True)
    in_messages = [json.loads(message.json)["finish_reason"] for message in reading.messages]
    return reading.finish_reasons, reading.raw_finish_reasons, in_messages


def expected(reason: str) -> set[str]:
    if any(word in reason for word in FILTERED):
        return {"content_filter"}
    if any(word in reason for word in CUT):
        return {"length", "stop"} if "pause" in reason else {"length"}
    if "TOOL" not in reason and ("tool" in reason or reason == "function_call") and "malformed" not in reason:
        return {"tool_call"}
    if any(word == reason or reason.startswith("stop") for word in DONE):
        return {"stop"}
    return {"error", "compaction"}


def test_the_sdks_were_asked() -> None:
    assert {api for api, _ in CASES} == KNOWN.keys()
    assert len(CASES) > 55


@pytest.mark.parametrize(("api", "reason"), CASES)
def test_every_reason_of_an_sdk_is_one_of_the_conventions(api: str, reason: str) -> None:
    [normal], raw, in_messages = finished(api, reason)
    assert normal in (expected(reason) if api in MEANT else FINISH_REASONS)
    assert (raw, in_messages) == ([reason], [normal])


@pytest.mark.parametrize("api", KNOWN)
def test_a_reason_that_nobody_knows_is_not_guessed(api: str) -> None:
    assert finished(api, "OUT_OF_INK") == (["OUT_OF_INK"],) * 3
