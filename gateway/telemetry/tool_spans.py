"""Tool calls paired with their results: one exchange's answer asks for a tool, a later one's request says what came.

What ran in between is nobody's HTTP call here, so its span begins when the answer was complete and ends when the result
came. Pure but for what is remembered; invents nothing: where only one of the two was seen, there is no span.

Ids tell which result is whose. Where an API does without them, or a client leaves them out (Gemini, Ollama), a result
names its tool and stands behind the call that it answers: the newest of the session with the same name and arguments.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from gateway.model import semconv as sc
from gateway.model.exchange import Exchange
from gateway.model.message import Entry, Message, ServerToolCall, ServerToolCallResponse, ToolCall, ToolCallResponse
from gateway.model.randomness import random_bytes
from gateway.model.span import KIND_INTERNAL, Attribute, Block, Content, Span

_REMEMBERED = 10_000
_AT_ONCE = 64
"""Results without an id that are looked at in one request, and calls that each is compared with: the newest."""
_NOTE = "telemetry.tools"
_to_message = msgspec.json.Decoder(Message).decode
_to_json = msgspec.json.Encoder().encode

_Result = ToolCallResponse | ServerToolCallResponse
"""A client may bring what looks like a provider's: the output of OpenAI's shell does not say whose shell it was."""
_Call = ToolCall | ServerToolCall
Parts = tuple[_Call | _Result, ...]
_Key = tuple[str, str, str]
"""Workspace, principal and the call's id, which only its API made unique."""
_Tool = tuple[str, str, str, str]
"""Workspace, principal, session and the tool's name."""


class _Pending(NamedTuple):
    """A call whose result has not come."""

    call: ToolCall
    asked_ns: int
    exchange: str
    trace_id: bytes
    span_id: bytes
    trace_flags: int
    trace_state: str
    tool: _Tool


class ToolSpans:
    """One worker's calls. Not thread-safe; bounded: the oldest that nobody answered are forgotten, and counted."""

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self.counters: Counter[str] = Counter()
        """`tool_calls_forgotten`."""
        self._limit = limit
        self._pending: OrderedDict[_Key, _Pending] = OrderedDict()
        self._of_tool: dict[_Tool, dict[_Key, None]] = {}
        """The same by tool, the oldest first."""

    def of(self, exchange: Exchange) -> list[Span]:
        """The spans of the tools whose results this exchange's request brought. Called once for each, in order."""
        spans = self._answered(exchange) if self._pending else []
        response = exchange.response
        if response is not None:
            for number, part in enumerate(_parts(response.messages)):
                if isinstance(part, ToolCall):
                    self._remember(exchange, part, part.id or f"{exchange.id}.{number}")
        return spans

    def _answered(self, exchange: Exchange) -> list[Span]:
        request = exchange.request
        if request is None:
            return []
        # What the parent had was paired with the parent; where there is none, the whole history may be news.
        new_from = exchange.session.new_from if exchange.session is not None else 0
        spans: list[Span] = []
        said: dict[str, deque[ToolCall]] = {}
        answered: set[str] = set()
        unnamed: deque[tuple[ToolCall, _Result]] = deque(maxlen=_AT_ONCE)
        for part in _parts(request.messages[new_from:]):
            if isinstance(part, ToolCall):
                said.setdefault(part.name, deque()).append(part)
            elif part.id and (pending := self._taken(_key(exchange, part.id))) is not None:
                spans.append(_span(pending, part, exchange))
                answered.add(part.id)
            elif part.id and (call := _next(said.get(part.id), answered)) is not None:
                unnamed.append((call, part))
        # The newest first: what a history repeats was answered long ago.
        for call, part in reversed(unnamed):
            key = _key(exchange, call.id) if call.id else self._newest_like(call, exchange)
            if key is not None and (pending := self._taken(key)) is not None:
                spans.append(_span(pending, part, exchange))
        return spans

    def _remember(self, exchange: Exchange, call: ToolCall, call_id: str) -> None:
        key, tool = _key(exchange, call_id), _tool(exchange, call.name)
        ended_ns = exchange.started_ns + exchange.duration_ns
        self._taken(key)  # an API that gives an id again means another call by it
        self._pending[key] = _Pending(
            call,
            ended_ns,
            exchange.id,
            exchange.trace_id,
            exchange.span_id,
            exchange.trace_flags,
            exchange.trace_state,
            tool,
        )
        self._of_tool.setdefault(tool, {})[key] = None
        if len(self._pending) > self._limit:
            self._taken(next(iter(self._pending)))
            self.counters["tool_calls_forgotten"] += 1

    def _newest_like(self, call: ToolCall, exchange: Exchange) -> _Key | None:
        keys = islice(reversed(self._of_tool.get(_tool(exchange, call.name), {})), _AT_ONCE)
        return next((key for key in keys if self._pending[key].call.arguments == call.arguments), None)

    def _taken(self, key: _Key) -> _Pending | None:
        """It waits no more."""
        pending = self._pending.pop(key, None)
        if pending is not None:
            keys = self._of_tool[pending.tool]
            del keys[key]
            if not keys:
                del self._of_tool[pending.tool]
        return pending


def _key(exchange: Exchange, call_id: str) -> _Key:
    """SECURITY: a call's id is the client's word; nobody may be told what another principal's call was."""
    return exchange.workspace, exchange.principal, call_id


def _tool(exchange: Exchange, name: str) -> _Tool:
    """SECURITY: as `_key`; and a session that nobody else is in, where there is none."""
    session = exchange.session.id if exchange.session is not None else exchange.id
    return exchange.workspace, exchange.principal, session, name


def _next(calls: deque[ToolCall] | None, answered: set[str]) -> ToolCall | None:
    """The first of these calls that has no result yet."""
    while calls:
        call = calls.popleft()
        if call.id not in answered:
            return call
    return None


def tool_parts(entry: Entry) -> Parts:
    """The calls in a message, a provider's own among them, and the results that came from outside. Read once."""
    found: Parts | None = entry.notes.get(_NOTE)
    if found is None:
        found = entry.notes[_NOTE] = _tool_parts(entry)
    return found


def _parts(entries: Sequence[Entry]) -> Iterator[ToolCall | _Result]:
    for entry in entries:
        for part in tool_parts(entry):
            if not isinstance(part, ServerToolCall):
                yield part


def _tool_parts(entry: Entry) -> Parts:
    if b"tool_call" not in entry.json:
        return ()
    message = _to_message(entry.json)
    # What a provider's tool said stands in the model's own turn.
    wanted = _Call | ToolCallResponse if message.role == "assistant" else _Call | _Result
    return tuple([part for part in message.parts if isinstance(part, wanted)])


def _span(pending: _Pending, result: _Result, exchange: Exchange) -> Span:
    """A child of the exchange that asked for the tool, in its OTel trace."""
    call, started_ns = pending.call, pending.asked_ns
    said = result.response if isinstance(result, ToolCallResponse) else result.server_tool_call_response
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
        trace_state=pending.trace_state,
        flags=pending.trace_flags,
        parts=parts,
        contents=[
            Content(sc.GEN_AI_TOOL_CALL_ARGUMENTS, [_to_json(call.arguments)], bare=True),
            Content(sc.GEN_AI_TOOL_CALL_RESULT, [_to_json(said)], bare=True),
        ],
    )
