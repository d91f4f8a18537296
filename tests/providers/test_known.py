"""The cache of known messages reads each message once, stays within its bound, and confuses nobody."""

import json

import pytest

from gateway.model.message import Message, Other, Text, ToolCall
from gateway.providers import anthropic_blocks, openai_message
from gateway.providers.known import KnownMessageCache, entry_of


class Counting:
    def __init__(self) -> None:
        self.calls = 0

    def read(self, raw: bytes) -> Message:
        self.calls += 1
        return Message("user", (Text(raw.decode()),))


def test_a_message_is_read_once() -> None:
    cache, reader = KnownMessageCache(), Counting()
    read = reader.read
    assert cache.entry(b"hi", read) is cache.entry(b"hi", read)
    assert reader.calls == 1
    assert (cache.hits, cache.misses) == (1, 1)


def test_the_same_bytes_mean_to_each_api_what_they_mean_there() -> None:
    cache = KnownMessageCache()
    raw = b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"secret"}]}'
    assert b'"other"' in cache.entry(raw, openai_message.read_message).json
    assert b'"tool_call_response"' in cache.entry(raw, anthropic_blocks.read_message).json


def test_the_least_recently_used_goes_first() -> None:
    cache, reader = KnownMessageCache(limit_bytes=10_000), Counting()
    read = reader.read
    kept = cache.entry(b"kept", read)
    for number in range(100):
        cache.entry(b"%d" % number, read)
        assert cache.entry(b"kept", read) is kept
        assert cache.bytes <= cache.limit_bytes
    assert cache.evicted > 50


def test_a_giant_does_not_push_the_others_out() -> None:
    cache, reader = KnownMessageCache(limit_bytes=10_000), Counting()
    read = reader.read
    small = cache.entry(b"small", read)
    cache.entry(b"x" * 5000, read)
    assert cache.entry(b"small", read) is small
    assert cache.evicted == 1


def test_a_blob_is_read_once() -> None:
    cache = KnownMessageCache()
    assert cache.blob(b"[]", bytes.upper) is cache.blob(b"[]", bytes.upper)
    assert cache.hits == 1


def test_what_raises_is_not_kept() -> None:
    cache = KnownMessageCache()
    for _ in range(2):
        with pytest.raises(json.JSONDecodeError):
            cache.entry(b"{", lambda raw: Message(json.loads(raw), ()))
    assert cache.misses == 2
    assert cache.bytes == 0


def test_a_part_of_an_unknown_kind_is_shown_to_detectors() -> None:
    entry = entry_of(
        Message("user", (Other("poem", {"lines": ["one"]}), Other("void"), ToolCall("f", "1", {"a": "é"})))
    )
    assert entry.texts == ('{"lines":["one"]}', '{"a":"é"}', "f")


@pytest.mark.parametrize(
    ("message", "texts"),
    [
        (Message("user", (Text("hi"),)), ("hi",)),
        (Message("user", (Text("hi"),), name="nightjar"), ("hi", "nightjar")),
        (Message("nightjar", (Text("hi"),)), ("hi", "nightjar")),
        (Message("assistant", (ToolCall("nightjar"), ToolCall("nightjar"))), ("null", "null", "nightjar")),
    ],
)
def test_names_are_shown_to_detectors(message: Message, texts: tuple[str, ...]) -> None:
    assert entry_of(message).texts == texts


def test_a_message_says_its_parts_also_where_there_are_none() -> None:
    """The GenAI conventions' schema requires them."""
    entry = entry_of(Message("assistant", (), finish_reason="stop"))
    assert json.loads(entry.json) == {"role": "assistant", "parts": [], "finish_reason": "stop"}
    assert entry.digest == entry_of(Message("assistant", (), finish_reason="stop")).digest
