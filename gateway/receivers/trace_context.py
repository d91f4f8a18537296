"""W3C trace context: which trace an exchange joins, and what its upstream is told. Pure."""

import re

from gateway.model.exchange import Exchange, Headers

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def join_trace(exchange: Exchange, traceparent: bytes, tracestate: bytes | None) -> None:
    """W3C trace context; an invalid one starts a new trace, as its specification says."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or traceparent[:2] == b"ff" or match[1] == b"0" * 32 or match[2] == b"0" * 16:
        return
    if match[4] is not None and traceparent[:2] == b"00":  # only later versions may say more
        return
    exchange.trace_id = bytes.fromhex(match[1].decode())
    exchange.parent_span_id = bytes.fromhex(match[2].decode())
    exchange.trace_flags = int(match[3], 16) & 1
    if tracestate is not None and len(tracestate) <= 512:
        exchange.trace_state = tracestate.decode("latin-1")


def as_parent(headers: Headers, exchange: Exchange) -> Headers:
    """With `propagate: true` the upstream's spans become children of the exchange's."""
    parent = b"00-%b-%b-%02x" % (
        exchange.trace_id.hex().encode(),
        exchange.span_id.hex().encode(),
        exchange.trace_flags,
    )
    kept = [header for header in headers if header[0].lower() != b"traceparent"]
    return [*kept, (b"traceparent", parent)]
