"""The SSE decoder loses no byte and gives the same events wherever the network cuts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.sse import SseDecoder, SseEvent

ALPHABET = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"data: x", b"data:y", b"event: e", b":c", b"\xef\xbb\xbf", b"\xff", b"a"]
)
STREAM = st.lists(ALPHABET, max_size=30).map(b"".join)


def decoded(*pieces: bytes) -> list[SseEvent]:
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    left = decoder.end()
    return events if left is None else [*events, left]


def spoken(*pieces: bytes) -> list[tuple[str, bytes]]:
    return [(event.event, event.data) for event in decoded(*pieces) if event.data]


@given(stream=STREAM)
def test_no_byte_is_lost(stream: bytes) -> None:
    assert b"".join(event.raw for event in decoded(stream)) == stream


@given(stream=STREAM, cut=st.lists(st.integers(0, 200), max_size=5))
def test_any_cut_gives_the_same_events(stream: bytes, cut: list[int]) -> None:
    ends = [*sorted(min(c, len(stream)) for c in cut), len(stream)]
    pieces = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert decoded(*pieces) == decoded(stream)
    assert decoded(*(bytes([byte]) for byte in stream)) == decoded(stream)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
        (b"data: a\n\r\ndata: b\r\n\n", [("", b"a"), ("", b"b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", b"a")]),
        (b"data: a\ndata: b\ndata\ndata:c\n\n", [("", b"a\nb\n\nc")]),
        (b"event: e\ndata: a\nid: 1\nretry: 5\n\n", [("e", b"a")]),
        (b"data:  two spaces\n\n", [("", b" two spaces")]),
        (b": comment\n\n:\n\ndata: a\n: between\n\n", [("", b"a")]),
        (b"\n\n\n\ndata: a\n\n\n\n", [("", b"a")]),
        (b"data: a\n\ndata: left", [("", b"a"), ("", b"left")]),
        (b"data: a\n", [("", b"a")]),
        (b"", []),
    ],
)
def test_events_are_read_by_the_standard(stream: bytes, events: list[tuple[str, bytes]]) -> None:
    assert spoken(stream) == events


def test_an_event_comes_out_as_soon_as_it_is_whole() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\nda") == [SseEvent("", b"a", b"data: a\n\n")]
    assert decoder.end() == SseEvent("", b"", b"da")


def test_the_beginning_of_a_long_event_can_be_let_go_and_its_end_is_still_found() -> None:
    decoder = SseDecoder()
    decoder.feed(b"data: long\r\n\r")
    assert decoder.held == 13
    assert decoder.let_go() == b"data: lon"
    assert decoder.let_go() == b""
    assert [event.raw for event in decoder.feed(b"\ndata: b\n\nda")] == [b"g\r\n\r\n", b"data: b\n\n"]
    assert decoder.held == 2


class SearchedBytes(bytearray):
    """Counts the bytes that are looked at."""

    looked_at = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        self.looked_at += len(self) - start
        return super().find(sub, start)

    def __contains__(self, key: Any) -> bool:
        self.looked_at += len(self)
        return super().__contains__(key)


def test_a_long_event_in_tiny_pieces_is_searched_once() -> None:
    decoder = SseDecoder()
    decoder._rest = searched = SearchedBytes()
    long = b"data: " + b"a" * 20_000
    for byte in long:
        assert decoder.feed(bytes([byte])) == []
    assert 0 < searched.looked_at < 10 * len(long)
    assert [event.raw for event in decoder.feed(b"\n\n")] == [long + b"\n\n"]


def test_events_behind_one_with_a_carriage_return_end_as_before() -> None:
    sent = b"data: a\r\n\r\ndata: b\n\ndata: c\r\rdata: d\n\n"
    decoder = SseDecoder()
    assert [event.data for byte in sent for event in decoder.feed(bytes([byte]))] == [b"a", b"b", b"c", b"d"]
