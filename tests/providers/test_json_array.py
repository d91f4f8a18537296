"""The JSON-array decoder loses no byte and gives the same elements wherever the network cuts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.json_array import ArrayElement, JsonArrayDecoder

PIECES = st.sampled_from(
    [b"[", b"]", b"{", b"}", b'"', b"\\", b",", b":", b" ", b"\r\n", b"1", b"null", b"\xc3\xa9", b"\xff", b"\xef\xbb\xbf", b'\\"', b'"a]"']
)  # fmt: skip
ANYTHING = st.lists(PIECES, max_size=40).map(b"".join) | st.binary(max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(['"', "\\", "]}", "\u2028é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
CUTS = st.lists(st.integers(0, 300), max_size=6)


def decoded(*pieces: bytes) -> list[ArrayElement]:
    decoder = JsonArrayDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    left = decoder.end()
    return events if left is None else [*events, left]


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = [*sorted(min(c, len(stream)) for c in cuts), len(stream)]
    return [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(stream=ANYTHING)
def test_no_byte_is_lost(stream: bytes) -> None:
    assert b"".join(event.raw for event in decoded(stream)) == stream


@given(stream=ANYTHING, cuts=CUTS)
def test_any_cut_gives_the_same_elements(stream: bytes, cuts: list[int]) -> None:
    assert decoded(*cut(stream, cuts)) == decoded(stream)
    assert decoded(*(bytes([byte]) for byte in stream)) == decoded(stream)


@given(values=st.lists(VALUES, max_size=5), cuts=CUTS, indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_each_element_of_an_array_is_an_event(
    values: list[Any], cuts: list[int], indent: int | None, ascii_only: bool
) -> None:
    stream = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    assert [json.loads(event.data) for event in decoded(*cut(stream, cuts)) if event.data] == values


def test_a_quote_that_is_escaped_ends_no_string_wherever_the_cut_is() -> None:
    stream = b'[{"a":"x\\"]}","b\\\\":["\\\\\\""]},"\\"]",[{}],[[{"c":[]}]]]'
    elements = [b'{"a":"x\\"]}","b\\\\":["\\\\\\""]}', b'"\\"]"', b"[{}]", b'[[{"c":[]}]]', b""]
    assert [json.loads(element) for element in elements[:-1]] == json.loads(stream)
    for first in range(len(stream)):
        for second in range(first, len(stream)):
            pieces = (stream[:first], stream[first:second], stream[second:])
            assert [event.data for event in decoded(*pieces)] == elements


@pytest.mark.parametrize(
    ("stream", "elements"),
    [
        (b"[]", [b""]),
        (b"", []),
        (b'\xef\xbb\xbf [{"a":1}', [b'{"a":1}']),
        (b'[{"a":1}{"b":2}]', [b'{"a":1}', b'{"b":2}', b""]),
        (b'[{"a":1},{"b":', [b'{"a":1}', b'{"b":']),
        (b'[{"a":1}] trailing', [b'{"a":1}', b"trailing"]),
        (b' {"error":{}} ', [b'{"error":{}}']),
        (b"<html>[1]</html>", [b"<html>[1]</html>"]),
        (b"[1,tru", [b"1", b"tru"]),
    ],
)
def test_what_is_no_array_or_not_all_of_one_is_kept(stream: bytes, elements: list[bytes]) -> None:
    assert [event.data for event in decoded(stream)] == elements


def test_an_element_comes_out_as_soon_as_it_is_whole() -> None:
    decoder = JsonArrayDecoder()
    assert decoder.feed(b'[{"a": "]}') == []
    assert decoder.feed(b'"}') == [ArrayElement(b'{"a": "]}"}', b'[{"a": "]}"}')]
    assert decoder.feed(b',\r\n{"b": 1}]') == [ArrayElement(b'{"b": 1}', b',\r\n{"b": 1}')]
    assert decoder.end() == ArrayElement(b"", b"]")
