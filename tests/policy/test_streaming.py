"""Held events give back the bytes they were, and texts are found whatever way an upstream cuts them."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.engine import Found
from gateway.policy.streaming import HeldEvents
from gateway.policy.strings import strings_in, text_of, without
from gateway.providers.sse import SseDecoder

_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inside for text in _strings(each)]


def _utf8(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(_values.filter(_utf8), st.booleans(), st.sampled_from([None, 2]))
def test_every_value_that_is_a_string_is_found_and_no_name(value: Any, ascii_only: bool, indent: int | None) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert [text_of(raw[start:end]) for _, start, end in strings_in(raw)] == _strings(value)


@given(st.text().filter(_utf8), st.booleans(), st.data())
def test_a_place_is_taken_out_and_the_rest_stays_as_it_was_written(
    text: str, ascii_only: bool, data: st.DataObject
) -> None:
    raw = json.dumps(text, ensure_ascii=ascii_only).encode()[1:-1]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    left = without(raw, [((start, end), b"[x]")])
    assert json.loads(b'"%b"' % left) == text[:start] + "[x]" + text[end:]


@given(st.binary())
def test_bytes_that_are_no_json_raise_nothing(data: bytes) -> None:
    for _, start, end in strings_in(data):
        text_of(data[start:end])


def _event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


def _let_go(stream: bytes, size: int, find: Any = None) -> bytes:
    decoder, held, out = SseDecoder(), HeldEvents(), b""
    for at in range(0, len(stream), size):
        if held.add(decoder.feed(stream[at : at + size])):
            held.texts()
            out += held.let_go(find)
    out += held.let_go(find, everything=True)
    return out


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=30), st.integers(1, 400))
def test_what_is_let_go_is_what_came(texts: list[str], size: int) -> None:
    stream = b"".join(map(_event, texts))
    assert _let_go(stream, size) == stream


def _secret(text: str) -> list[Found]:
    found, at = [], text.find("s3cr3t")
    while at >= 0:
        found.append(Found("keys", "pattern:0", (at, at + 6), False))
        at = text.find("s3cr3t", at + 6)
    return found


@given(st.integers(0, 400), st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 400))
def test_what_is_taken_out_is_gone_however_it_was_cut_and_all_else_is_there(
    before: int, sizes: list[int], read: int
) -> None:
    text = "a" * before + "s3cr3t" + "\n\u00e9b" * 100 + "s3cr3t" + "c" * 90
    pieces: list[str] = []
    at = 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    stream = b"".join(map(_event, pieces))
    out = _let_go(stream, read, _secret)
    said = [
        msgspec.json.decode(event.removeprefix(b"data: "))["choices"][0]["delta"]["content"]
        for event in out.split(b"\n\n")
        if event
    ]
    assert "".join(said) == text.replace("s3cr3t", "[keys]")
    assert len(said) == len(pieces)
