"""Content is cut to an exporter's limit, keeps the newest, and stays valid JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.message import Message, Text, ToolCall
from gateway.model.span import Content
from gateway.providers.known import entry_of
from gateway.telemetry.capture import Capture, messages_from_environment


def content_of(*messages: Message) -> Content:
    return Content("gen_ai.input.messages", [entry_of(message).json for message in messages])


def value_of(items: list[bytes]) -> Any:
    return json.loads(b"[" + b",".join(items) + b"]")


TEXTS = st.text(st.characters(codec="utf-8"), max_size=400) | st.text('"\\\n\x01ß😀', max_size=800)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant"]),
    parts=st.lists(
        st.builds(Text, TEXTS) | st.builds(ToolCall, st.just("t"), arguments=st.dictionaries(TEXTS, TEXTS, max_size=3)),
        max_size=3,
    ).map(tuple),
)


@given(st.lists(MESSAGES, min_size=1, max_size=5), st.integers(2, 1500))
def test_whatever_is_cut_fits_and_is_json(messages: list[Message], limit: int) -> None:
    items = Capture("full", limit).items(content_of(*messages))
    assert not items or sum(map(len, items)) + len(items) + 1 <= limit
    assert isinstance(value_of(items), list)


def test_a_limit_keeps_the_newest_whole_messages() -> None:
    content = content_of(*(Message("user", (Text(f"{n}" * 50),)) for n in range(5)))
    kept = Capture("full", 250).items(content)
    assert kept == content.items[-2:]


def test_content_within_the_limit_is_not_touched() -> None:
    content = content_of(Message("user", (Text("short"),)))
    assert Capture("full", 1000).items(content) is content.items


def test_one_message_that_is_too_large_is_cut_in_the_middle_of_its_longest_text() -> None:
    message = Message("assistant", (Text("short"), Text("A" * 3000 + "Z" * 3000)), finish_reason="stop")
    (item,) = Capture("full", 1000).items(content_of(message))
    seen = json.loads(item)
    assert seen["parts"][0]["content"] == "short"
    head, mark, tail = seen["parts"][1]["content"].partition("…[cut ")
    assert (head.strip("A"), tail[-400:].strip("Z")) == ("", "")
    assert mark
    assert seen["finish_reason"] == "stop"
    assert 900 < len(item) <= 998
    cut = int(tail.split(" ")[0])
    assert cut == 6000 - len(head) - len(tail.partition("…")[2])


def test_a_message_of_many_small_pieces_leaves_who_spoke_and_how_it_ended() -> None:
    call = ToolCall("t", arguments={f"k{n}": n for n in range(1000)})
    (item,) = Capture("full", 300).items(content_of(Message("assistant", (call,), finish_reason="tool_call")))
    seen = json.loads(item)
    assert (seen["role"], seen["finish_reason"]) == ("assistant", "tool_call")
    assert "[cut " in seen["parts"][0]["content"]


def test_bytes_that_are_no_json_are_left_out_rather_than_cut() -> None:
    assert Capture("full", 10).items(Content("gen_ai.tool.definitions", [b"{" * 100_000])) == []


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        (None, "none"),
        ("", "none"),
        ("NO_CONTENT", "none"),
        ("EVENT_ONLY", "none"),
        ("span_only", "full"),
        ("SPAN_AND_EVENT", "full"),
        ("true", "full"),
    ],
)
def test_the_environment_asks_for_content_or_there_is_none(value: str | None, messages: str) -> None:
    assert messages_from_environment(value) == messages
