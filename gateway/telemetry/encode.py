"""Spans as OTLP protobuf bytes. No I/O; nothing here decides what may leave.

Fields of a protobuf message may stand in any order and messages concatenate: a span is `encode(span)`, made once, plus
what each exporter may have of its content, and a request is a resource plus spans that are bytes already.
Field numbers: opentelemetry-proto, trace/v1/trace.proto.
"""

from collections.abc import Sequence
from struct import Struct

from google.protobuf.internal import api_implementation  # type: ignore[import-untyped]  # ships no types

from gateway.model.span import Attributes, EventBody, Span
from gateway.telemetry.capture import Capture
from gateway.telemetry.openinference import values
from gateway.telemetry.wire import key_values, text_head, utf8, varint

_ATTRIBUTES = b"\x4a"  # Span.attributes (9)
# Span.trace_id (1), .span_id (2), .kind (6), .start_time_unix_nano (7), .end_time_unix_nano (8), .flags (16, whose tag
# has two bytes)
_fixed = Struct("<2s16s2s8sBBBQBQHI").pack
_event_time = Struct("<Q").pack
_UINT64, _UINT32 = (1 << 64) - 1, (1 << 32) - 1


def encode(span: Span) -> bytes:
    """Everything but the contents, kept in `span.encoded` for the next exporter."""
    if span.encoded is None:
        span.encoded = _encode(span)
    return span.encoded


def content_attributes(span: Span, capture: Capture) -> bytes:
    """The span's contents as further attributes, as far as `capture` lets them; append it to `encode(span)`."""
    if capture.messages == "none" or not span.contents:
        return b""
    pieces: list[bytes] = []
    for content in span.contents:
        items = capture.items(content)
        if not items:
            continue
        if content.bare:
            pieces += (text_head(_ATTRIBUTES, content.key, len(items[0])), items[0])
        else:
            array = b",".join(items)
            pieces += (text_head(_ATTRIBUTES, content.key, len(array) + 2), b"[", array, b"]")
    if capture.openinference:
        pieces += key_values(_ATTRIBUTES, tuple(values(span.contents, capture.limit)))
    return b"".join(pieces)


def splice(resource: bytes, spans: Sequence[bytes]) -> bytes:
    """An ExportTraceServiceRequest of encoded spans; `resource` comes from `encode_resource`."""
    pieces: list[bytes] = []
    for span in spans:
        pieces += (b"\x12", varint(len(span)), span)  # ScopeSpans.spans (2)
    scope = b"\x0a\x0a\x0a\x08spangate"  # ScopeSpans.scope (1) with InstrumentationScope.name (1)
    scope_size = len(scope) + sum(map(len, pieces))
    scope_spans = b"\x12" + varint(scope_size) + scope  # ResourceSpans.scope_spans (2)
    size = len(resource) + len(scope_spans) - len(scope) + scope_size
    return b"".join([b"\x0a", varint(size), resource, scope_spans, *pieces])


def encode_resource(attributes: Attributes) -> bytes:
    """ResourceSpans.resource (1) with its attributes (1)."""
    data = b"".join(key_values(b"\x0a", attributes))
    return b"\x0a" + varint(len(data)) + data


def upb_in_use() -> bool:
    """Whether protobuf runs on its C core; the pure-Python one is 50 times slower and deserves a warning at start."""
    return str(api_implementation.Type()) == "upb"


def _encode(span: Span) -> bytes:
    name = utf8(span.name)
    start, end, flags = span.start_ns & _UINT64, span.end_ns & _UINT64, span.flags & _UINT32
    fixed = _fixed(
        b"\x0a\x10", span.trace_id, b"\x12\x08", span.span_id, 0x30, span.kind, 0x39, start, 0x41, end, 0x0185, flags
    )
    pieces = [
        fixed,
        b"\x2a" + varint(len(name)),
        name,
    ]
    if span.parent_span_id:
        pieces += (b"\x22" + varint(len(span.parent_span_id)), span.parent_span_id)
    if span.trace_state:
        state = utf8(span.trace_state)
        pieces += (b"\x1a" + varint(len(state)), state)
    if span.status or span.status_message:
        status = _status(span)
        pieces += (b"\x7a" + varint(len(status)), status)
    pieces += key_values(_ATTRIBUTES, span.parts)
    for event in span.events:
        pieces += (event.body.encoded or _event(event.body), _event_time(event.time_ns & _UINT64))
    return b"".join(pieces)


def _status(span: Span) -> bytes:
    """Status.message (2) and .code (3)."""
    message = utf8(span.status_message)
    return b"\x12" + varint(len(message)) + message + b"\x18" + varint(span.status)


def _event(body: EventBody) -> bytes:
    """Span.events (11): name (2), attributes (3), and last the tag of its time (1), whose bytes the caller appends."""
    name = utf8(body.name)
    data = b"".join([b"\x12", varint(len(name)), name, *key_values(b"\x1a", body.attributes), b"\x09"])
    body.encoded = b"\x5a" + varint(len(data) + 8) + data
    return body.encoded
