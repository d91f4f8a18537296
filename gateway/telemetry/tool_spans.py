"""Tool calls paired with their results: one exchange's answer asks for a tool, a later one's request says what came.

What ran in between is nobody's HTTP call here, so its span begins when the answer was complete and ends when the result
came. Pure but for what is remembered; invents nothing: where only one of the two was seen, there is no span.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from gateway.model.exchange import Exchange
from gateway.model.message import Entry, Message, ToolCall, ToolCallResponse
from gateway.model.randomness import random_bytes
from gateway.model.span import KIND_INTERNAL, Attribute, Block, Content, Span
from gateway.telemetry import semconv as sc

_REMEMBERED = 10_000
_NOTE = "telemetry.tools"
_to_message = msgspec.json.Decoder(Message).decode
_to_json = msgspec.json.Encoder().encode

Parts = tuple[ToolCall | ToolCallResponse, ...]
_Key = tuple[str, str, str]
"""Workspace, principal and the call's id, which only its API made unique."""


class _Pending(NamedTuple):
    """A call whose result has not come."""

    call: ToolCall
    asked_ns: int
    exchange: str
    trace_id: bytes
    span_id: bytes


class ToolSpans:
    """One worker's calls. Not thread-safe; bounded: the oldest that nobody answered are forgotten, and counted."""

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self.counters: Counter[str] = Counter()
        """`tool_calls_forgotten`."""
        self._limit = limit
        self._pending: OrderedDict[_Key, _Pending] = OrderedDict()

    def of(self, exchange: Exchange) -> list[Span]:
        """The spans of the tools whose results this exchange's request brought. Called once for each, in order."""
        spans = self._answered(exchange) if self._pending else []
        response = exchange.response
        if response is not None:
            for part in _parts(response.messages):
                if isinstance(part, ToolCall) and part.id:
                    self._remember(exchange, part, part.id)
        return spans

    def _answered(self, exchange: Exchange) -> list[Span]:
        request = exchange.request
        if request is None:
            return []
        # What the parent had was paired with the parent; where there is none, the whole history may be news.
        new_from = exchange.session.new_from if exchange.session is not None else 0
        return [
            _span(pending, part, exchange)
            for part in _parts(request.messages[new_from:])
            if isinstance(part, ToolCallResponse)
            and part.id
            and (pending := self._pending.pop(_key(exchange, part.id), None)) is not None
        ]

    def _remember(self, exchange: Exchange, call: ToolCall, call_id: str) -> None:
        ended_ns = exchange.started_ns + exchange.duration_ns
        pending = _Pending(call, ended_ns, exchange.id, exchange.trace_id, exchange.span_id)
        self._pending[_key(exchange, call_id)] = pending
        if len(self._pending) > self._limit:
            self._pending.popitem(last=False)
            self.counters["tool_calls_forgotten"] += 1


def _key(exchange: Exchange, call_id: str) -> _Key:
    """SECURITY: a call's id is the client's word; nobody may be told what another principal's call was."""
    return exchange.workspace, exchange.principal, call_id


def _parts(entries: Sequence[Entry]) -> Iterator[ToolCall | ToolCallResponse]:
    for entry in entries:
        found: Parts | None = entry.notes.get(_NOTE)
        if found is None:
            found = entry.notes[_NOTE] = _tool_parts(entry)
        yield from found


def _tool_parts(entry: Entry) -> Parts:
    if b'"type":"tool_call' not in entry.json:
        return ()
    return tuple([part for part in _to_message(entry.json).parts if isinstance(part, ToolCall | ToolCallResponse)])


def _span(pending: _Pending, result: ToolCallResponse, exchange: Exchange) -> Span:
    """A child of the exchange that asked for the tool, in its OTel trace."""
    call, started_ns = pending.call, pending.asked_ns
    parts: list[Attribute | Block] = [
        (sc.GEN_AI_OPERATION_NAME, "execute_tool"),
        (sc.GEN_AI_TOOL_NAME, call.name),
        (sc.GEN_AI_TOOL_CALL_ID, call.id or ""),
        (sc.GEN_AI_TOOL_TYPE, "function"),
        (sc.SPANGATE_EXCHANGE_ID, exchange.id),
        (sc.SPANGATE_EXCHANGE_PARENT_ID, pending.exchange),
        (sc.SPANGATE_EVENT_TYPE, "agent_tool"),
        (sc.SPANGATE_PARTICIPANT_FROM, "agent"),
        (sc.SPANGATE_PARTICIPANT_TO, "tool"),
    ]
    if exchange.session is not None:
        parts.append((sc.SESSION_ID, exchange.session.id))
    if exchange.user:
        parts.append((sc.USER_ID, exchange.user))
    return Span(
        name=f"execute_tool {call.name}".rstrip(),
        kind=KIND_INTERNAL,
        trace_id=pending.trace_id,
        span_id=random_bytes(8),
        start_ns=started_ns,
        end_ns=max(started_ns, exchange.started_ns),
        parent_span_id=pending.span_id,
        parts=parts,
        contents=[
            Content(sc.GEN_AI_TOOL_CALL_ARGUMENTS, [_to_json(call.arguments)], bare=True),
            Content(sc.GEN_AI_TOOL_CALL_RESULT, [_to_json(result.response)], bare=True),
        ],
    )
