"""Counting spans by stepping over OTLP bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.spans_in import spans_in


def request(*scopes: int) -> bytes:
    """A request with one resource a number, each with that many spans in two scopes."""
    made = ExportTraceServiceRequest()
    for spans in scopes:
        resource = made.resource_spans.add(schema_url="https://example.org/schema")
        resource.resource.attributes.add(key="service.name").value.string_value = "bench"
        halves = (spans // 2, spans - spans // 2)
        for half in halves:
            scope = resource.scope_spans.add()
            scope.scope.name = "scope"
            for number in range(half):
                span = scope.spans.add(name=f"span {number}", start_time_unix_nano=number, flags=1)
                span.events.add(name="event")
    encoded: bytes = made.SerializeToString()
    return encoded


@given(st.lists(st.integers(0, 9), max_size=4))
def test_counts_what_protobuf_counts(scopes: list[int]) -> None:
    assert spans_in(request(*scopes)) == sum(scopes)


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05ab", b"\xff" * 12, b"\x0b", b"\x0a\x03\x12\x05\x12"])
def test_refuses_what_is_no_request(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"varint|beyond|wire type"):
        spans_in(data)
