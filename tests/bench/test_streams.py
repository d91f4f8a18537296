"""What a paced stream says, and when it counts as stalled."""

from bench.stream_client import StreamFigures
from bench.stream_text import ending, event, whole
from bench.streams import Shape, stalled


def test_a_stream_is_its_events_and_an_ending() -> None:
    assert whole(7, 2) == event(7, 0) + event(7, 1) + ending(7)


def test_no_two_events_are_alike() -> None:
    assert len({event(stream, number) for stream in range(20) for number in range(20)}) == 400


def test_a_stall_is_ten_paces_beyond_what_there_is_without_a_gateway() -> None:
    shape = Shape(streams=3, pace_ms=20, rounds=1, events=5)
    direct = StreamFigures(longest_gap_ms=[25, 30])
    assert stalled(shape, StreamFigures(longest_gap_ms=[25, 230, 231]), direct) == 1
