"""The NDJSON decoder loses no byte and gives the same lines wherever the network cuts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.ndjson import Line, NdjsonDecoder

PIECES = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b" ", b'{"a":1}', b'{"b":"\\n"', b"\xc3\xa9", b"\xff", b"\xe2\x80\xa8"]
)
STREAM = st.lists(PIECES, max_size=30).map(b"".join) | st.binary(max_size=60)


def decoded(*pieces: bytes) -> list[Line]:
    decoder = NdjsonDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    left = decoder.end()
    return events if left is None else [*events, left]


@given(stream=STREAM)
def test_no_byte_is_lost(stream: bytes) -> None:
    assert b"".join(event.raw for event in decoded(stream)) == stream


@given(stream=STREAM, cuts=st.lists(st.integers(0, 200), max_size=5))
def test_any_cut_gives_the_same_lines(stream: bytes, cuts: list[int]) -> None:
    ends = [*sorted(min(c, len(stream)) for c in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert decoded(*pieces) == decoded(stream)
    assert decoded(*(bytes([byte]) for byte in stream)) == decoded(stream)


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"\n\n a \n\n", [b"", b"", b"a", b""]),
        (b"a\nleft", [b"a", b"left"]),
        ("a\u2028b\n".encode(), ["a\u2028b".encode()]),  # a line separator of Unicode ends no line
        (b"", []),
    ],
)
def test_lines_end_at_line_feeds_alone(stream: bytes, lines: list[bytes]) -> None:
    assert [event.data for event in decoded(stream)] == lines


def test_a_line_comes_out_as_soon_as_it_is_whole() -> None:
    decoder = NdjsonDecoder()
    assert decoder.feed(b'{"a"') == []
    assert decoder.feed(b':1}\n{"') == [Line(b'{"a":1}', b'{"a":1}\n')]
    assert decoder.end() == Line(b'{"', b'{"')
