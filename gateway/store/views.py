"""Sessions and traces as the API and the command line give them to programs. Pure: rows in, structures out."""

import msgspec

from gateway.model.verdict import Assessment
from gateway.store.found import ExchangeRow, MessageRow, SessionRow, Turn
from gateway.store.life import Attention, ClosedBy, Lifecycle
from gateway.store.reading import EVENT_TYPES, moment, status_of


class SessionView(msgspec.Struct):
    id: str
    workspace: str
    lifecycle: Lifecycle
    closed_by: ClosedBy | None
    attention: Attention
    outcome: str
    started: str
    last_input: str
    last_activity: str
    exchanges: int
    failures: int
    flagged: int
    escalated: int
    blocked: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float | None
    """Of the calls whose cost is known."""
    unpriced: int
    """Calls whose cost is not known."""
    tool_calls: int
    tools: list[str]
    models: list[str]
    providers: list[str]
    user: str | None
    origin: str
    source: str
    preview: str
    previous_id: str | None
    continued_by: list[str]


class UsageView(msgspec.Struct):
    state: str
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None


class SessionPlace(msgspec.Struct):
    """How an exchange came into its session."""

    source: str
    confidence: float
    sequence: int
    header: bool


class TraceView(msgspec.Struct):
    id: str
    exchange: str
    direction: str
    session_id: str
    workspace: str
    time: str
    event_type: str
    participant: str
    parent: str | None
    session: SessionPlace
    status: str
    outcome: str
    end: str
    error: str | None
    http_status: int
    user: str | None
    origin: str
    service: str
    provider: str
    api: str
    operation: str
    model: str
    stream: bool
    duration_ms: float
    first_byte_ms: float | None
    overhead_ms: float
    capture: str
    usage: UsageView
    cost_usd: float | None
    finish_reasons: list[str]
    otel_trace_id: str
    repeated_messages: int
    """How many earlier messages stood before `messages` in the request and are left out here."""
    omitted_messages: int
    """How many after those and before `messages` are left out because there are too many."""
    messages: list[msgspec.Raw]
    assessments: list[Assessment]


def session_view(row: SessionRow) -> SessionView:
    return SessionView(
        id=row.id,
        workspace=row.workspace,
        lifecycle=row.lifecycle,
        closed_by=row.closed_by,
        attention=row.attention,
        outcome=row.outcome,
        started=moment(row.first_ns),
        last_input=moment(row.last_input_ns),
        last_activity=moment(row.last_ns),
        exchanges=row.exchanges,
        failures=row.failures,
        flagged=row.flagged,
        escalated=row.escalated,
        blocked=row.blocked,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cache_read_tokens=row.cache_read_tokens,
        cache_write_tokens=row.cache_write_tokens,
        reasoning_tokens=row.reasoning_tokens,
        cost_usd=row.cost_usd,
        unpriced=row.unpriced,
        tool_calls=row.tool_calls,
        tools=_names(row.tools),
        models=_names(row.models),
        providers=_names(row.providers),
        user=row.user,
        origin=row.origin,
        source=row.source,
        preview=row.preview,
        previous_id=row.previous_id,
        continued_by=list(row.continued_by),
    )


def traces_of(turn: Turn) -> list[TraceView]:
    """The sides of one exchange; an exchange that was refused before anything came back has one."""
    sides = ["inlet"]
    if has_response(turn):
        sides.append("response")
    return [trace_view(turn, side) for side in sides]


def has_response(turn: Turn) -> bool:
    return bool(turn.outputs) or turn.exchange.refusal_code is None


def trace_view(turn: Turn, direction: str) -> TraceView:
    row = turn.exchange
    inlet = direction == "inlet"
    return TraceView(
        id=f"{row.id}.{direction}",
        exchange=row.id,
        direction=direction,
        session_id=row.session_id,
        workspace=row.workspace,
        time=moment(row.started_ns if inlet else row.ended_ns),
        event_type=EVENT_TYPES.get(row.participant, row.participant),
        participant=row.participant if inlet else "llm",
        parent=row.parent_exchange,
        session=SessionPlace(
            row.session_source, row.session_confidence, row.session_sequence, bool(row.session_header)
        ),
        status=status_of(row),
        outcome=row.outcome,
        end=row.end,
        error=row.refusal_code or row.error_type,
        http_status=row.status,
        user=row.user,
        origin=row.origin,
        service=row.service,
        provider=row.provider,
        api=row.api,
        operation=row.operation,
        model=row.model if inlet else row.response_model or row.model,
        stream=bool(row.stream),
        duration_ms=row.duration_ms,
        first_byte_ms=row.first_byte_ms,
        overhead_ms=row.overhead_ms,
        capture=row.capture,
        usage=_usage(row),
        cost_usd=row.cost_usd,
        finish_reasons=row.finish_reasons.split(",") if row.finish_reasons else [],
        otel_trace_id=row.trace_id.hex(),
        repeated_messages=turn.repeated if inlet else 0,
        omitted_messages=turn.omitted if inlet else 0,
        messages=[_raw(message) for message in (turn.inputs if inlet else turn.outputs)],
        assessments=[said for said in turn.assessments if said.direction == direction],
    )


def _names(joined: str) -> list[str]:
    return [name for name in joined.split("\n") if name]


def _usage(row: ExchangeRow) -> UsageView:
    return UsageView(
        row.usage_state,
        row.input_tokens,
        row.output_tokens,
        row.cache_read_tokens,
        row.cache_write_tokens,
        row.reasoning_tokens,
    )


class _Absent(msgspec.Struct, omit_defaults=True):
    """A message whose content is not stored, or not any more."""

    role: str
    parts: tuple[()] = ()


def _raw(message: MessageRow | None) -> msgspec.Raw:
    if message is not None and message.json:
        return msgspec.Raw(message.json)
    return msgspec.Raw(msgspec.json.encode(_Absent(message.role if message is not None else "unknown")))
