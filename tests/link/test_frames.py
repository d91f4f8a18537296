"""Frames survive any cut, and nobody makes us keep more than the limit."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.frames import Ack, Batch, BatchBuilder, FrameDecoder, Hello, Up, framed, read_down, read_up
from tests.link.fakes import a_record


def test_a_batch_built_record_by_record_reads_as_a_batch() -> None:
    builder = BatchBuilder()
    records = (a_record("a"), a_record("b", outcome="blocked", assessments=()))
    for each in records:
        builder.add(each)
    (payload,) = FrameDecoder().feed(builder.finished(7))
    assert _plain(read_up(payload)) == _plain(Batch(7, records))


def test_a_record_that_cannot_be_encoded_leaves_the_batch_whole() -> None:
    builder = BatchBuilder()
    builder.add(a_record("a"))
    with pytest.raises(UnicodeEncodeError):
        builder.add(a_record("b", model="\ud800"))
    builder.add(a_record("c"))
    (payload,) = FrameDecoder().feed(builder.finished(1))
    assert _plain(read_up(payload)) == _plain(Batch(1, (a_record("a"), a_record("c"))))


@given(st.lists(st.integers(1, 40), max_size=8))
def test_meaning_is_independent_of_where_the_network_cuts(cuts: list[int]) -> None:
    data = framed(Hello("w", 1)) + framed(Ack(1)) + framed(Ack(2))
    decoder = FrameDecoder()
    payloads: list[bytes] = []
    for cut in cuts:
        payloads += decoder.feed(data[:cut])
        data = data[cut:]
    payloads += decoder.feed(data)
    assert read_up(payloads[0]) == Hello("w", 1)
    assert [read_down(payload) for payload in payloads[1:]] == [Ack(1), Ack(2)]


def test_a_frame_over_the_limit_is_refused_before_it_is_kept() -> None:
    with pytest.raises(ValueError, match="over the limit"):
        list(FrameDecoder(limit=100).feed(b"\x00\x00\x01\x00"))


def _plain(frame: Up) -> object:
    """An assessment is equal to itself alone; what it says is compared."""
    return msgspec.to_builtins(frame)
