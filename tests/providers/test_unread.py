"""What no reader takes is shown to agents all the same, and what parsers may read differently is unreadable."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts import Provider
from gateway.model.message import RequestReading
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.known import KnownMessageCache
from gateway.providers.openai_chat import OpenAIChat
from gateway.providers.unread import unread_of
from gateway.providers.vocabulary import SHOWN_WHOLE

CHATS: list[Provider] = [OpenAIChat(), AnthropicMessages()]
WORD = "nightjar"
HELLO = {"role": "user", "content": "hello"}
DIRTY = {"role": "user", "content": WORD}
PICTURE = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20).decode()
COMPACT, SPACED, PRETTY = (",", ":"), (", ", ": "), (" ,\n ", " :\t")
LONG = [{"role": "user", "content": "x" * 400}, {"role": "assistant", "content": "y" * 400}]


def name_of(provider: Provider) -> str:
    return provider.name


def read(provider: Provider, body: bytes) -> RequestReading:
    return provider.read_request(body, KnownMessageCache())


def shown(reading: RequestReading) -> str:
    entries = [*reading.system, *reading.definitions, *reading.messages]
    return "\n".join(text for entry in entries for text in entry.texts)


def said(*parts: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": [*parts]}]}).encode()


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
@pytest.mark.parametrize("separators", [COMPACT, SPACED, PRETTY], ids=["compact", "spaced", "pretty"])
@pytest.mark.parametrize(
    "pairs",
    [
        [("messages", [DIRTY]), ("messages", [HELLO])],
        [("messages", LONG), ("x", {"messages": LONG}), ("messages", [DIRTY]), ("messages", LONG)],
        [("messages", [HELLO]), ("Messages", [DIRTY])],
        [("messages", [HELLO]), ("me\u017f\u017fages", [DIRTY])],
        [("tools", [{"name": WORD}]), ("tools", []), ("messages", [HELLO])],
        [("messages", [HELLO]), ("model", WORD), ("model", "m")],
    ],
)
def test_a_body_that_two_parsers_read_differently_is_unreadable(
    provider: Provider, separators: tuple[str, str], pairs: list[tuple[str, Any]]
) -> None:
    between, after = separators
    fields = [
        json.dumps(name, ensure_ascii=False) + after + json.dumps(value, separators=separators) for name, value in pairs
    ]
    reading = read(provider, ("{" + between.join(fields) + "}").encode())
    assert reading.state == "unreadable"
    assert WORD in shown(reading)


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
@pytest.mark.parametrize(
    "message",
    [
        '{"role":"user","content":"nightjar","content":"hello"}',
        '{"role":"user","conten\\u0074":"nightjar","content":"hello"}',
        '{"role":"user","content":"nightjar\\\\","content":"\\\\","role":"user\\\\"}',
        '{"role":"user","content":"hello","Content":"nightjar"}',
        '{"role":"user","content":[{"type":"text","text":"nightjar","text":"hello"}]}',
        '{"role": "user", "content": [{"type": "text", "text": "nightjar", "text": "hello"}]}',
        '{"role":"user","content":"nightjar","content":"hello","x":NaN}',
    ],
)
def test_so_is_a_message(provider: Provider, message: str) -> None:
    reading = read(provider, b'{"messages":[%b]}' % message.encode())
    assert reading.state == "unreadable"
    assert WORD in shown(reading)


def test_and_a_system_instruction() -> None:
    body = b'{"messages":[],"system":[{"type":"text","text":"nightjar","text":"hello"}]}'
    reading = read(AnthropicMessages(), body)
    assert reading.state == "unreadable"
    assert WORD in shown(reading)


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
@pytest.mark.parametrize(
    "fields",
    [
        {"model": WORD},
        {"user": WORD},
        {"metadata": {"note": WORD}},
        {"response_format": {"type": "json_schema", "json_schema": {"description": WORD}}},
        {"prediction": {"type": "content", "content": WORD}},
        {"documents": [{"text": WORD}], "chat_template": "x"},
        {"mcp_servers": [{"authorization_token": WORD}]},
        {"container": WORD},
        {"stop": [WORD]},
        {WORD: 1},
    ],
)
def test_fields_that_are_no_messages_are_shown_but_said_by_nobody(provider: Provider, fields: Any) -> None:
    reading = read(provider, json.dumps({**fields, "messages": [HELLO, *LONG]}).encode())
    assert reading.state == "full"
    assert WORD in shown(reading)
    assert not any(WORD in entry.json.decode() for entry in reading.messages)


def test_a_field_of_another_api_is_not_taken_for_read() -> None:
    for provider, field in ((OpenAIChat(), "system"), (AnthropicMessages(), "functions")):
        assert WORD in shown(read(provider, json.dumps({"messages": [HELLO], field: WORD}).encode()))


def test_settings_without_words_are_not_shown() -> None:
    reading = read(OpenAIChat(), b'{"messages":[],"temperature":0.5,"stream":true,"stop":null}')
    assert reading.definitions == ()


@pytest.mark.parametrize("provider", CHATS, ids=name_of)
@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"https://example.com/?q={WORD}"}},
        {"type": "image_url", "image_url": {"url": f"data:{WORD};base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": WORD}},
        {"type": "file", "file": {"file_data": f"data:text/plain,{WORD}"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64," + b64encode(WORD.encode()).decode()}},
        {"type": "file", "file": {"file_data": b64encode(b"words " * 2000 + WORD.encode()).decode()}},
        {"type": "file", "file": {"filename": WORD, "file_data": "data:text/plain;base64,AAAA"}},
        {"type": "file", "file": {"file_id": "file-1", "file_data": WORD}},
        {"type": "text", "text": "hello", "Text": WORD},
        {"type": "text", "text": "hello", "extra": {"deep": [WORD]}},
        {"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": "bmlnaHRqYXI="}},
        {"type": "image", "source": {"type": "base64", "media_type": WORD, "data": PICTURE}},
        {"type": "search_result", "content": [{"type": "base64", "data": f"key {WORD}"}]},
    ],
)
def test_so_is_whatever_a_part_says(provider: Provider, part: Any) -> None:
    reading = read(provider, said(part))
    assert WORD in shown(reading)
    assert reading.state == "full"


@pytest.mark.parametrize(
    "message",
    [
        {**HELLO, "extra": WORD},
        {"role": "tool", "tool_call_id": WORD, "content": "42"},
        {"role": "tool", "tool_call_id": "call_1", "content": "42", "reasoning_content": WORD},
        {"role": "assistant", "tool_calls": [{"id": WORD, "type": "function", "function": {"name": "f"}}]},
        {
            "role": "assistant",
            "tool_calls": [{"id": "call_1", "function": {"name": "f", "arguments": '{"a":"nightjar","a":""}'}}],
        },
    ],
)
def test_so_is_what_a_message_says_beside_its_parts(message: Any) -> None:
    reading = read(OpenAIChat(), json.dumps({"messages": [message]}).encode())
    assert WORD in shown(reading)


def test_a_picture_and_what_only_the_provider_reads_stay_hidden() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}
    thought = {"type": "redacted_thinking", "data": WORD * 100}
    signed = {"type": "thinking", "thinking": "hm", "signature": WORD}
    reading = read(AnthropicMessages(), said(picture, thought, signed))
    assert PICTURE[:40] not in shown(reading)
    assert WORD not in shown(reading)


def test_nothing_is_shown_twice() -> None:
    """Counts of findings have limits: a thing said once is one finding."""
    result = {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": t} for t in (WORD, "b")]}
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"q": WORD})}}
    for message in (result, {"role": "assistant", "content": "hm", "tool_calls": [call]}, DIRTY):
        assert shown(read(OpenAIChat(), json.dumps({"messages": [message]}).encode())).count(WORD) == 1


_values = st.recursive(
    st.none() | st.integers(-9, 9) | st.text("ab\\\"{}[]:,'mesagi ", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(st.tuples(st.sampled_from(["messages", "tools", "x", "Model", '\\"messages']), _values), max_size=5),
    st.sampled_from([COMPACT, SPACED, PRETTY]),
)
def test_names_are_told_apart_exactly(pairs: list[tuple[str, Any]], separators: tuple[str, str]) -> None:
    between, after = separators
    pairs = [*pairs, ("messages", LONG), ("n", 1)]
    names = [name for name, _ in pairs]
    fields = [json.dumps(name) + after + json.dumps(value, separators=separators) for name, value in pairs]
    reading = read(OpenAIChat(), ("{" + between.join(fields) + "}").encode())
    clear = len(set(names)) == len(names) and "Model" not in names
    assert reading.state == ("full" if clear else "unreadable")


@pytest.mark.parametrize("value", [b'"hello"', b'["hello"]'])
def test_a_large_field_may_have_any_name(value: bytes) -> None:
    assert "novel" not in SHOWN_WHOLE
    body = b'{"model":"m","novel":%b,"other":"nightjar"}' % value
    names = frozenset({"model", "novel"})
    assert unread_of(body, names, [("novel", (value,))]) == (b'{"model":"m","other":"nightjar"}', True)
