"""The latest input and the answer as OpenInference names them."""

from dataclasses import replace

import msgspec
import pytest
from opentelemetry.proto.trace.v1 import trace_pb2

from gateway.model import semconv as sc
from gateway.model.message import Message, Text, ToolCall, ToolCallResponse
from gateway.model.span import Content, Span
from gateway.telemetry.capture import Capture
from gateway.telemetry.encode import content_attributes, encode

ON = Capture("full", openinference=True)
HELLO, REPLY = Message("user", (Text("Hello"),)), Message("assistant", (Text("Hi"),), finish_reason="stop")
CALL = Message("assistant", (ToolCall("look", "c-1", {"at": "plums"}),), finish_reason="tool_call")
RESULT = Message("tool", (ToolCallResponse("25", "c-1"),))


def values(asked: list[Message], said: list[Message], capture: Capture = ON) -> tuple[str, str]:
    """`input.value` and `output.value`, "" for none."""
    contents = [
        Content(key, [msgspec.json.encode(message) for message in messages])
        for key, messages in ((sc.GEN_AI_INPUT_MESSAGES, asked), (sc.GEN_AI_OUTPUT_MESSAGES, said))
        if messages
    ]
    span = Span("chat", 3, bytes(16), bytes(8), 1, 2, contents=contents)
    told = trace_pb2.Span.FromString(encode(span) + content_attributes(span, capture)).attributes
    found = {attribute.key: attribute.value.string_value for attribute in told}
    return found.get(sc.INPUT_VALUE, ""), found.get(sc.OUTPUT_VALUE, "")


@pytest.mark.parametrize(
    ("asked", "said", "expected"),
    [
        ([HELLO], [REPLY], ("Hello", "Hi")),
        ([HELLO, REPLY, Message("user", (Text("Thanks"),))], [REPLY], ("Thanks", "Hi")),
        (
            [Message("user", (Text("<system-reminder>…"), Text("Hello"))), Message("system", (Text("Be kind"),))],
            [],
            ("Hello", ""),
        ),
        ([HELLO], [Message("assistant", (Text("Hi"), Text("there")))], ("Hello", "Hi\nthere")),
        ([Message("system", (Text("Be kind"),))], [], ("", "")),
        ([], [REPLY], ("", "Hi")),
    ],
)
def test_the_latest_input_and_the_answer_are_told(
    asked: list[Message], said: list[Message], expected: tuple[str, str]
) -> None:
    assert values(asked, said) == expected


def test_what_has_no_text_is_told_whole() -> None:
    asked, said = values([HELLO, CALL, RESULT], [CALL])
    assert msgspec.json.decode(asked, type=Message) == RESULT
    assert msgspec.json.decode(said, type=Message) == CALL


def test_a_limit_keeps_the_beginning_and_whole_characters() -> None:
    euros = Message("user", (Text("€" * 100),))
    assert values([euros], [], replace(ON, limit=64)) == ("€" * 21, "")


@pytest.mark.parametrize("capture", [Capture("full"), replace(ON, messages="none")])
def test_nothing_is_told_unless_it_is_asked_for(capture: Capture) -> None:
    assert values([HELLO], [REPLY], capture) == ("", "")
