"""What the hand-written encoder says, opentelemetry-proto reads back."""

import json
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from gateway.model import semconv as sc
from gateway.model.span import Attribute, Attributes, AttributeValue, Block, Content, EventBody, Span, SpanEvent
from gateway.telemetry.capture import Capture
from gateway.telemetry.encode import content_attributes, encode, encode_resource, splice, upb_in_use

TEXTS = st.text(st.characters(exclude_categories=())) | st.text("aß你😀", min_size=100, max_size=300)  # surrogates too
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
VALUES = TEXTS | st.booleans() | INT64 | st.floats(allow_nan=False) | st.lists(TEXTS, max_size=4).map(tuple)
ATTRIBUTES = st.lists(st.tuples(TEXTS, VALUES), max_size=8)
# What spans share and what is a span's own take different ways.
BLOCKS = st.builds(Block, ATTRIBUTES.map(tuple))
PARTS = st.lists(st.tuples(TEXTS, VALUES) | BLOCKS, max_size=8)
BODIES = st.builds(EventBody, TEXTS, ATTRIBUTES.map(tuple))
NANOSECONDS = st.integers(0, (1 << 64) - 1)
SPANS = st.builds(
    Span,
    name=TEXTS,
    kind=st.integers(0, 5),
    trace_id=st.binary(min_size=16, max_size=16),
    span_id=st.binary(min_size=8, max_size=8),
    start_ns=NANOSECONDS,
    end_ns=NANOSECONDS,
    parent_span_id=st.just(b"") | st.binary(min_size=8, max_size=8),
    trace_state=TEXTS,
    flags=st.integers(0, (1 << 32) - 1),
    status=st.integers(0, 2),
    status_message=TEXTS,
    parts=PARTS,
    events=st.lists(st.builds(SpanEvent, NANOSECONDS, BODIES), max_size=3),
    contents=st.just([]),
)


def clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def expected(value: AttributeValue) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=clean(value))
    result = AnyValue()
    result.array_value.SetInParent()
    result.array_value.values.extend(AnyValue(string_value=clean(item)) for item in value)
    return result


def expected_all(attributes: Iterable[Attribute]) -> list[KeyValue]:
    return [KeyValue(key=clean(key), value=expected(value)) for key, value in attributes]


@given(SPANS)
def test_any_span_is_read_back_as_it_was(span: Span) -> None:
    seen = trace_pb2.Span.FromString(encode(span))
    assert seen == trace_pb2.Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        trace_state=clean(span.trace_state),
        parent_span_id=span.parent_span_id,
        flags=span.flags,
        name=clean(span.name),
        kind=span.kind,  # type: ignore[arg-type]
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=expected_all(span.attributes),
        events=[
            trace_pb2.Span.Event(
                time_unix_nano=event.time_ns,
                name=clean(event.body.name),
                attributes=expected_all(event.body.attributes),
            )
            for event in span.events
        ],
        status=trace_pb2.Status(message=clean(span.status_message), code=span.status)  # type: ignore[arg-type]
        if span.status or span.status_message
        else None,
    )


def small_span(attributes: Attributes, contents: list[Content] | None = None) -> Span:
    return Span("chat", 3, bytes(16), bytes(8), 1, 2, parts=[*attributes], contents=contents or [])


@given(st.lists(st.binary(max_size=40), max_size=6), ATTRIBUTES)
def test_spliced_spans_are_a_request(names: list[bytes], resource: Attributes) -> None:
    spans = [Span(name.hex(), 3, bytes(16), bytes(8), 1, 2) for name in names]
    request = ExportTraceServiceRequest.FromString(splice(encode_resource(resource), [encode(span) for span in spans]))
    (resource_spans,) = request.resource_spans
    assert list(resource_spans.resource.attributes) == expected_all(resource)
    assert resource_spans.scope_spans[0].scope.name == "spangate"
    assert [span.name for span in resource_spans.scope_spans[0].spans] == [span.name for span in spans]


def test_true_one_and_one_point_zero_stay_three_things() -> None:
    key = sc.HTTP_RESPONSE_STATUS_CODE
    span = small_span([(key, True), (key, 1), (key, 1.0)])
    seen = trace_pb2.Span.FromString(encode(span)).attributes
    assert [pair.value.WhichOneof("value") for pair in seen] == ["bool_value", "int_value", "double_value"]


def test_a_number_beyond_64_bits_becomes_its_digits() -> None:
    seen = trace_pb2.Span.FromString(encode(small_span([("gen_ai.request.seed", 10**30)])))
    assert seen.attributes[0].value.string_value == str(10**30)


def test_content_is_appended_to_what_was_encoded_once() -> None:
    content = Content("gen_ai.input.messages", [b'{"role":"user"}', '{"role":"ß"}'.encode()])
    span = small_span([("session.id", "s")], [content])
    common = encode(span)
    assert encode(span) is common
    seen = trace_pb2.Span.FromString(common + content_attributes(span, Capture("full"))).attributes
    assert [pair.key for pair in seen] == ["session.id", "gen_ai.input.messages"]
    assert json.loads(seen[1].value.string_value) == [{"role": "user"}, {"role": "ß"}]
    assert content_attributes(span, Capture("none")) == b""


@given(PARTS)
def test_shared_blocks_or_plain_attributes_are_the_same_bytes(parts: list[Attribute | Block]) -> None:
    span = Span("chat", 3, bytes(16), bytes(8), 1, 2, parts=parts)
    first, again = encode(span), Span("chat", 3, bytes(16), bytes(8), 1, 2, parts=list(parts))
    assert encode(again) == first
    assert encode(small_span(span.attributes)) == first


SECRET = "s3cr3t"


def span_with_a_secret() -> Span:
    span = Span("chat", 3, bytes(16), bytes(8), 1, 2, parts=[Block((("user.id", SECRET), ("a", 1))), ("b", SECRET)])
    assert SECRET.encode() in encode(span)
    return span


def test_what_a_processor_takes_out_is_not_sent_though_it_was_remembered() -> None:
    span = span_with_a_secret()
    span.attributes = [(key, value) for key, value in span.attributes if value != SECRET]
    assert SECRET.encode() not in encode(span)
    assert span.attributes == [("a", 1)]


def test_what_a_processor_takes_out_in_place_is_not_sent_either() -> None:
    span = span_with_a_secret()
    kept = span.attributes
    assert span.attributes is kept
    del kept[0]
    kept[-1] = ("b", "redacted")
    assert SECRET.encode() not in encode(span)
    assert span.attributes == [("a", 1), ("b", "redacted")]


def test_a_changed_span_leaves_the_shared_block_alone() -> None:
    block = Block((("user.id", "alice"),))
    changed, other = Span("a", 3, b"", b"", 1, 2, parts=[block]), Span("b", 3, b"", b"", 1, 2, parts=[block])
    changed.attributes.clear()
    assert b"alice" not in encode(changed)
    assert b"alice" in encode(other)


def test_protobuf_runs_on_its_c_core_here() -> None:
    assert upb_in_use()
