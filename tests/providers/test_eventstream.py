"""The decoder of AWS's event streams agrees with botocore's own, loses no byte, and goes on behind a corrupt frame."""

import struct
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.eventstream import CORRUPT, SEARCH_MAX, EventStreamDecoder, EventStreamEvent, encoded

Headers = list[tuple[str, int, Any]]
_LAYOUTS = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q"}


def value_bytes(kind: int, value: Any) -> bytes:
    if kind in _LAYOUTS:
        return struct.pack(_LAYOUTS[kind], value)
    if kind in (6, 7):
        raw: bytes = value.encode() if kind == 7 else value
        return struct.pack(">H", len(raw)) + raw
    return bytes(value) if kind == 9 else b""


def frame(headers: Headers, payload: bytes = b"") -> bytes:
    block = b""
    for name, kind, value in headers:
        block += bytes([len(name.encode())]) + name.encode() + bytes([kind]) + value_bytes(kind, value)
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = prelude + struct.pack(">I", crc32(prelude)) + block + payload
    return message + struct.pack(">I", crc32(message))


def named(name: str, payload: bytes = b"{}") -> bytes:
    return encoded({":message-type": "event", ":event-type": name}, payload)


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


VALUES = st.one_of(
    st.tuples(st.just(0), st.just(True)),
    st.tuples(st.just(1), st.just(False)),
    st.tuples(st.just(2), integers(8)),
    st.tuples(st.just(3), integers(16)),
    st.tuples(st.just(4), integers(32)),
    st.tuples(st.sampled_from([5, 8]), integers(64)),
    st.tuples(st.just(6), st.binary(max_size=20)),
    st.tuples(st.just(7), st.text(max_size=20)),
    st.tuples(st.just(9), st.binary(min_size=16, max_size=16)),
)
NAMES = st.one_of(st.sampled_from([":event-type", ":message-type", ":content-type"]), st.text(min_size=1, max_size=20))
FRAME = st.builds(
    lambda headers, payload: frame([(name, *value) for name, value in headers.items()], payload),
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.binary(max_size=60),
)
FRAMES = st.lists(FRAME, min_size=1, max_size=6)
CUTS = st.lists(st.integers(0, 1000), max_size=8)


def decoded(*pieces: bytes) -> list[EventStreamEvent]:
    decoder = EventStreamDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    left = decoder.end()
    events += [] if left is None else [left]
    assert decoder.corrupt == sum(event.corrupt for event in events)
    return events


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = [*sorted(each % (len(stream) + 1) for each in cuts), len(stream)]
    return [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def told_by_botocore(stream: bytes) -> list[Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    return list(buffer)


def types_of(headers: Any) -> list[type]:
    return [type(value) for value in headers.values()]


@given(frames=FRAMES, cuts=CUTS)
def test_sound_frames_are_what_botocore_makes_of_them(frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frames)
    events = decoded(*cut(stream, cuts))
    told = told_by_botocore(stream)
    assert [event.raw for event in events] == frames
    assert not any(event.corrupt for event in events)
    assert [event.headers for event in events] == [each.headers for each in told]
    assert [types_of(event.headers) for event in events] == [types_of(each.headers) for each in told]
    assert [event.data for event in events if ":error-code" not in event.headers] == [each.payload for each in told]


@given(stream=st.lists(st.one_of(FRAME, st.binary(max_size=40)), max_size=6).map(b"".join), cuts=CUTS)
def test_no_byte_is_lost_and_any_cut_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    whole = decoded(stream)
    assert b"".join(event.raw for event in whole) == stream
    assert decoded(*cut(stream, cuts)) == whole
    assert decoded(*(bytes([byte]) for byte in stream)) == whole


@given(frames=FRAMES, which=st.integers(0, 5), where=st.integers(0, 1000), flip=st.integers(1, 255))
def test_one_bad_byte_costs_one_frame(frames: list[bytes], which: int, where: int, flip: int) -> None:
    which %= len(frames)
    spoilt = bytearray(frames[which])
    spoilt[where % len(spoilt)] ^= flip
    bad = bytes(spoilt)
    events = decoded(b"".join([*frames[:which], bad, *frames[which + 1 :]]))
    assert [event.raw for event in events if not event.corrupt] == [*frames[:which], *frames[which + 1 :]]
    assert [(event.event, event.raw, event.data) for event in events if event.corrupt] == [(CORRUPT, bad, bad)]


@pytest.mark.parametrize(
    ("raw", "name", "data"),
    [
        (named("chunk", b"{}"), "chunk", b"{}"),
        (
            encoded({":message-type": "exception", ":exception-type": "throttlingException"}, b'{"message":"slow"}'),
            "throttlingException",
            b'{"message":"slow"}',
        ),
        (
            encoded({":message-type": "error", ":error-code": "InternalError", ":error-message": "oops"}, b""),
            "InternalError",
            b'{"message":"oops"}',
        ),
        (encoded({}, b"payload"), "", b"payload"),
        (frame([(":event-type", 4, 7)], b"x"), "", b"x"),
        (named(CORRUPT, b"x"), "", b"x"),
    ],
)
def test_events_exceptions_and_errors_have_a_name(raw: bytes, name: str, data: bytes) -> None:
    [event] = decoded(raw)
    assert (event.event, event.data, event.raw) == (name, data, raw)


def with_sums(lengths: bytes, rest: bytes) -> bytes:
    message = lengths + struct.pack(">I", crc32(lengths)) + rest
    return message + struct.pack(">I", crc32(message))


@pytest.mark.parametrize(
    "raw",
    [
        with_sums(struct.pack(">II", 15, 0), b""),
        with_sums(struct.pack(">II", 20, 5), b"abcd"),
        with_sums(struct.pack(">II", 2**31, 0), b"abcd"),
        with_sums(struct.pack(">II", 128 * 1024 + 100, 128 * 1024 + 1), b"abcd"),
        with_sums(struct.pack(">II", 24 * 1024 * 1024 + 17, 0), b"abcd"),
        frame([("a", 0, True), ("a", 1, False)]),
        frame([("a", 10, b"")]),
        with_sums(struct.pack(">II", 17, 1), b"\x05"),
        with_sums(struct.pack(">II", 19, 3), b"\x01a\x05"),
        with_sums(struct.pack(">II", 19, 3), b"\x01a\x09"),
        with_sums(struct.pack(">II", 21, 5), b"\x01a\x07\x00\x09"),
        with_sums(struct.pack(">II", 20, 4), b"\x01a\x07\x00"),
        with_sums(struct.pack(">II", 22, 6), b"\x01a\x07\x00\x01\xff"),
        with_sums(struct.pack(">II", 19, 3), b"\x01\xff\x00"),
    ],
)
def test_a_frame_that_breaks_the_format_is_corrupt_and_the_next_one_is_read(raw: bytes) -> None:
    events = decoded(raw + named("next"))
    assert [event.event for event in events] == [CORRUPT, "next"]
    assert events[0].raw == raw


def test_half_a_frame_at_the_end_is_corrupt_and_kept() -> None:
    raw = named("chunk", b"half of it")
    events = decoded(raw + raw[:-5])
    assert [(event.event, event.raw) for event in events] == [("chunk", raw), (CORRUPT, raw[:-5])]


@pytest.mark.parametrize("step", [1 << 20, 5000])
def test_the_search_for_a_new_beginning_is_bounded(step: int) -> None:
    near, far = b"\x01" * (SEARCH_MAX - 100), b"\x01" * 200
    stream = near + named("found") + far + named("beyond")
    events = decoded(*(stream[at : at + step] for at in range(0, len(stream), step)))
    assert [event.event for event in events] == [CORRUPT, "found", CORRUPT]
    assert b"".join(event.raw for event in events) == stream
