"""How many spans an OTLP request holds, by stepping over its bytes: a few varints a span, nothing decoded. No I/O."""

_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS = 1, 2, 2
"""Field numbers: ExportTraceServiceRequest.resource_spans, ResourceSpans.scope_spans, ScopeSpans.spans."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def spans_in(request: bytes) -> int:
    """Raises ValueError where the bytes are not such a request."""
    return _count(request, 0, len(request), (_RESOURCE_SPANS, _SCOPE_SPANS, _SPANS))


def _count(data: bytes, at: int, end: int, path: tuple[int, ...]) -> int:
    """Messages at the end of this path of fields, between two offsets."""
    if not path:
        return 1
    found = 0
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == _BYTES:
            size, at = _varint(data, at, end)
            if at + size > end:
                raise ValueError("a field reaches beyond its message")
            if tag >> 3 == path[0]:
                found += _count(data, at, at + size, path[1:])
            at += size
        elif kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} is not one of OTLP's")
    return found


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a varint does not end")
