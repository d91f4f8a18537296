"""Usage is asked for by a few bytes more, and hidden by one event less; not another byte changes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.openai_usage import UsageHider, asking_for_usage

# The request

ASKED = b'"stream_options":{"include_usage":true},'


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"stream":true}', b"{" + ASKED + b'"stream":true}'),
        (b' \r\n\t{ \n "a" : 1 , "stream" : true }\n', b" \r\n\t{" + ASKED + b' \n "a" : 1 , "stream" : true }\n'),
        ('{"é😀":"\\ud83d","stream":true}'.encode(), b"{" + ASKED + '"é😀":"\\ud83d","stream":true}'.encode()),
        (b'{"stream":true,"stream_options":{}}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
        (b'{"stream":true,"stream_options": { }}', b'{"stream":true,"stream_options": {"include_usage":true }}'),
        (
            b'{"stream_options" : {"include_obfuscation":false},"stream":true}',
            b'{"stream_options" : {"include_usage":true,"include_obfuscation":false},"stream":true}',
        ),
        (
            '{"a":"é😀\\"","stream":true,"stream_options":{"x":1}}'.encode(),
            '{"a":"é😀\\"","stream":true,"stream_options":{"include_usage":true,"x":1}}'.encode(),
        ),
        (
            b'{"stream":true,"stream\\u005foptions":{"x":[{}]}}',
            b'{"stream":true,"stream\\u005foptions":{"include_usage":true,"x":[{}]}}',
        ),
    ],
)
def test_usage_is_spliced_into_a_request_for_a_stream(body: bytes, sent: bytes) -> None:
    assert asking_for_usage(body) == sent


@pytest.mark.parametrize(
    "text",
    [
        '"stream_options":{"include_usage":false}',
        '{"stream_options":{}}',
        '"},"stream_options":{"x":1},"a":"',
        '\\","stream_options":{"include_usage":true},\\"',
        "\\\\",
        '"stream":false',
    ],
)
def test_what_a_text_says_misleads_nobody(text: str) -> None:
    said = {"messages": [{"role": "user", "content": text}], text: text, "metadata": {"stream_options": {"a": 1}}}
    for options in ({}, {"stream_options": {"x": text}}):
        body = json.dumps(said | {"stream": True} | options).encode()
        sent = asking_for_usage(body)
        assert sent is not None
        asked = {"stream_options": {**options.get("stream_options", {}), "include_usage": True}}
        assert json.loads(sent) == json.loads(body) | asked


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b'"stream"',
        b"not json",
        b'{"stream":true',
        b'{"stream":true}}',
        b'{"stream":true,}',
        b'{"stream":true} {"stream":true}',
        b"{'stream':true}",
        b'{"stream":false}',
        b'{"stream":1}',
        b'{"stream":"true"}',
        b'{"Stream":true}',
        b'{"str\\u0065am":true}',
        b'{"messages":[{"stream":true}]}',
        b'\xef\xbb\xbf{"stream":true}',
        b'{"stream":true,"a":"\xff"}',
        '{"stream":true}'.encode("utf-16"),
        b'{"stream":true,"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"stream":true,"a":' + b"1" * 10_000 + b"}",
    ],
)
def test_what_is_no_request_for_a_stream_stays(body: bytes) -> None:
    assert asking_for_usage(body) is None


@pytest.mark.parametrize(
    "options",
    [
        b'"stream_options":{"include_usage":true}',
        b'"stream_options":{"include_usage":false}',
        b'"stream_options":{"include_usage":null}',
        b'"stream_options":{"include\\u005fusage":false}',
        b'"stream_options":{"x":1,"Include_Usage":false}',
        b'"stream_options":{"x":1,"x":2}',
        b'"stream_options":null',
        b'"stream_options":0',
        b'"stream_options":[]',
        b'"stream_options":"{}"',
        b'"stream_options":true',
        b'"stream_options":{},"stream_options":{}',
        b'"stream_options":{},"stream\\u005foptions":{"include_usage":false}',
        b'"Stream_Options":{}',
        '"ſtream_options":{}'.encode(),  # its case folds to the same name
        b'"stream":true',
        b'"stream":false',
        b'"STREAM":false',
        b'"model":"a","model":"b"',
    ],
)
def test_an_answer_in_the_request_or_two_readings_of_it_stay(options: bytes) -> None:
    assert asking_for_usage(b"{" + options + b',"stream":true}') is None
    assert asking_for_usage(b'{"stream":true,' + options + b"}") is None


NAME = st.text().map(str.casefold).filter(lambda name: name not in ("stream_options", "include_usage"))
VALUE = st.recursive(
    st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(NAME, inner)
)


@given(
    request=st.dictionaries(NAME, VALUE, max_size=4),
    options=st.none() | st.dictionaries(NAME, VALUE, max_size=3),
    ascii_only=st.booleans(),
    indent=st.none() | st.just(2),
)
def test_taking_the_splice_out_again_gives_the_request(
    request: dict[str, object], options: dict[str, object] | None, ascii_only: bool, indent: int | None
) -> None:
    said = request | {"stream": True} | ({} if options is None else {"stream_options": options})
    body = json.dumps(said, ensure_ascii=ascii_only, indent=indent).encode()
    sent = asking_for_usage(body)
    assert sent is not None
    more = len(sent) - len(body)
    assert any(sent[:at] + sent[at + more :] == body for at in range(len(body)))
    assert json.loads(sent) == json.loads(body) | {"stream_options": {**(options or {}), "include_usage": True}}


@given(body=st.binary() | st.text('{}[]":,\\ stream_optionsue\n', max_size=60).map(str.encode))
def test_no_bytes_raise(body: bytes) -> None:
    asking_for_usage(body)


# The answer

USAGE = b'{"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}'
CHUNK = b'{"id":"c","choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null}'
SHOWN = (
    CHUNK,
    b"[DONE]",
    b'{"choices":[],"usage":null}',
    b'{"choices":[],"prompt_filter_results":[]}',
    b'{"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":3}}',
    b'{"usage":{"prompt_tokens":3}}',
    b'{"choices":null,"usage":{"prompt_tokens":3}}',
    b'{"choices":{},"usage":{}}',
    b'{"choices":[],"usage":[]}',
    b'{"choices":[],"usage":1}',
    b'{"choices":[],"usage":{},"error":{"message":"no"}}',
    b'{"delta":{"choices":[],"usage":{}}}',
    b'[{"choices":[],"usage":{}}]',
    b'"' + json.dumps(USAGE.decode()).encode()[1:],
    b"not json",
    b"\xff",
    b"",
)
HIDDEN = (
    USAGE,
    b'{ "usage" : { } , "choices" : [ ] }',
    b'{"\\u0075sage":{"total_tokens":1,"details":{"a":[1]}},"error":null,"choices":[]}',
)


def shown(*pieces: bytes) -> bytes:
    hider = UsageHider()
    return b"".join([*(hider.feed(piece) for piece in pieces), hider.end()])


@pytest.mark.parametrize("data", SHOWN)
def test_an_event_that_is_not_the_extra_chunk_is_shown(data: bytes) -> None:
    event = b"data: " + data + b"\n\n"
    assert shown(event) == event


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("data", HIDDEN)
def test_the_extra_chunk_is_hidden_whatever_ends_its_lines(data: bytes, end: bytes) -> None:
    before, after = b"data: " + CHUNK + end * 2, b"data: [DONE]" + end * 2
    assert shown(before + b"data: " + data + end * 2 + after) == before + after
    assert shown(before + b": c" + end + b"id: 1" + end + b"data:" + data + end * 2 + after) == before + after


def test_the_extra_chunk_in_two_data_lines_is_hidden() -> None:
    assert shown(b'data: {"choices":[],\ndata: "usage":{}}\n\n') == b""


def test_an_event_goes_on_as_soon_as_it_is_whole() -> None:
    hider = UsageHider()
    assert hider.feed(b"data: a\n") == b""
    assert hider.feed(b"\ndata: b\n\nda") == b"data: a\n\ndata: b\n\n"
    assert hider.end() == b"da"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r"])
def test_the_extra_chunk_is_hidden_where_its_blank_line_never_came(end: bytes) -> None:
    assert shown(b"data: " + USAGE + end) == b""


def test_what_came_of_a_broken_event_is_shown() -> None:
    assert shown(b"data: " + USAGE[:-1]) == b"data: " + USAGE[:-1]


def test_an_event_too_long_to_be_held_passes_as_it_comes_and_the_next_is_looked_at_again() -> None:
    hider = UsageHider()
    piece = b"x" * 300_000
    assert hider.feed(b"data: " + piece * 3) == b""
    released = hider.feed(piece)
    assert len(released) > 1_200_000
    assert len(hider.feed(piece)) == len(piece)
    released += piece + hider.feed(b"\r\n\r") + hider.feed(b"\ndata: " + USAGE + b"\n\n: end\n\n") + hider.end()
    assert released == b"data: " + piece * 5 + b"\r\n\r\n: end\n\n"


@pytest.mark.parametrize("cut", [1_000_000, 1_048_580, 2_000_000, 10_000_000])
def test_where_a_long_event_is_cut_makes_no_difference(cut: int) -> None:
    stream = b'data: {"a":"' + b"x" * 2_000_000 + b'","choices":[],"usage":{}}\n\ndata: ' + USAGE + b"\n\n"
    assert shown(stream[:cut], stream[cut:]) == stream[: stream.index(b"\n\n") + 2]


LINE_END = st.sampled_from([b"\n", b"\r\n", b"\r"])
PIECE = st.sampled_from([b"data: " + data for data in (*SHOWN, *HIDDEN)]) | st.sampled_from(
    [b": c", b"event: e", b"id: 1", b"data", b"", b"\xef\xbb\xbf", b"\xff"]
)
STREAM = st.lists(st.tuples(PIECE, LINE_END, LINE_END | st.just(b"")).map(b"".join), max_size=12).map(b"".join)


@given(stream=STREAM, cut=st.lists(st.integers(0, 1000), max_size=5))
def test_any_cut_shows_the_same(stream: bytes, cut: list[int]) -> None:
    ends = [*sorted(min(c, len(stream)) for c in cut), len(stream)]
    pieces = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert shown(*pieces) == shown(stream)
    assert shown(*(bytes([byte]) for byte in stream)) == shown(stream)


@given(events=st.lists(st.sampled_from([*SHOWN, *HIDDEN]), max_size=12), end=LINE_END, size=st.integers(1, 50))
def test_no_byte_is_lost_but_those_of_the_extra_chunk(events: list[bytes], end: bytes, size: int) -> None:
    framed = [(data in HIDDEN, b"data: " + data + end * 2) for data in events]
    stream = b"".join(event for _, event in framed)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert shown(*pieces) == b"".join(event for hidden, event in framed if not hidden)


@given(stream=st.binary() | STREAM)
def test_a_stream_without_usage_passes_whole(stream: bytes) -> None:
    if b"sage" not in stream:
        assert shown(stream) == stream
