"""A finished exchange as one span of the GenAI semantic conventions. No I/O; invents nothing that was not said."""

from functools import lru_cache

import msgspec

from gateway.model import semconv as sc
from gateway.model.exchange import Exchange, Participant
from gateway.model.message import Entry, Message, RequestReading, ResponseReading, Text, Usage
from gateway.model.review import Reviewed
from gateway.model.span import (
    KIND_CLIENT,
    STATUS_ERROR,
    STATUS_UNSET,
    Attribute,
    AttributeValue,
    Block,
    Content,
    EventBody,
    Span,
    SpanEvent,
)
from gateway.model.verdict import Assessment
from gateway.telemetry.shared import remembered

_HAS_REMOTE_PARENT = 0x300
"""Span flags beside the W3C ones: "we know whether the parent is remote", and "it is" (trace.proto, SpanFlags)."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_EVENT_TYPES: dict[Participant, str] = {
    "user": "user_llm",
    "agent": "agent_llm",
    "tool": "agent_tool",
    "memory": "agent_mem",
    "llm": "agent_llm",
}
_API_TYPES = {
    "openai_chat": "chat_completions",
    "openai_responses": "responses",
    "openai_responses_poll": "responses",
}
_DOES_NOT_GENERATE = (sc.SPANGATE_REQUEST_GENERATE, False)
_PARTS_NOTE = "telemetry.text_parts"
_to_json = msgspec.json.Encoder().encode
_to_message = msgspec.json.Decoder(Message).decode


def span_of(exchange: Exchange) -> Span:
    """The CLIENT span of an ended exchange. Order: identity, session, usage, outcome, settings; content apart."""
    request, response, session = exchange.request, exchange.response, exchange.session
    error = _error_type(exchange)
    parts = _identity(exchange, request, response)
    _add_session(parts, exchange)
    if response is not None:
        _add_usage(parts, response.usage)
        if exchange.cost_nusd is not None:
            parts.append((sc.SPANGATE_COST_USD, exchange.cost_nusd / 1e9))
    _add_outcome(parts, exchange, error)
    _add_settings(parts, exchange)
    started = exchange.started_ns
    ended = started + exchange.duration_ns
    refusal = exchange.refusal
    return Span(
        name=_name(exchange, request),
        kind=KIND_CLIENT,
        trace_id=exchange.trace_id,
        span_id=exchange.span_id,
        start_ns=started,
        end_ns=ended,
        parent_span_id=exchange.parent_span_id,
        trace_state=exchange.trace_state,
        flags=exchange.trace_flags | _HAS_REMOTE_PARENT if exchange.parent_span_id else exchange.trace_flags,
        status=STATUS_ERROR if error is not None else STATUS_UNSET,
        status_message=refusal.message if refusal is not None else "",
        parts=parts,
        events=_evaluations(exchange, ended),
        contents=_contents(request, response, session.new_from if session is not None else 0),
    )


def _name(exchange: Exchange, request: RequestReading | None) -> str:
    if not exchange.operation:
        return f"{exchange.method} {exchange.provider}".rstrip()
    if request is not None and request.model:
        return f"{exchange.operation} {request.model}"
    return exchange.operation


Parts = list[Attribute | Block]


def _identity(exchange: Exchange, request: RequestReading | None, response: ResponseReading | None) -> Parts:
    parts: Parts = [
        _names(
            exchange.operation,
            exchange.provider_name,
            request.model if request is not None else "",
            response.model if response is not None else None,
            exchange.server_address,
            exchange.server_port,
            exchange.participant,
        ),
        (sc.SPANGATE_EXCHANGE_ID, exchange.id),
    ]
    if response is not None and response.id:
        parts.append((sc.GEN_AI_RESPONSE_ID, response.id))
    return parts


@remembered
def _names(
    operation: str,
    provider: str,
    model: str,
    answering_model: str | None,
    address: str,
    port: int,
    participant: Participant,
) -> tuple[Attribute, ...]:
    found: list[tuple[str, AttributeValue | None]] = [
        # Required by the convention, but a name for an API that was not understood would be invented.
        (sc.GEN_AI_OPERATION_NAME, operation),
        (sc.GEN_AI_PROVIDER_NAME, provider),
        (sc.GEN_AI_REQUEST_MODEL, model),
        (sc.GEN_AI_RESPONSE_MODEL, answering_model),
        (sc.SERVER_ADDRESS, address),
        (sc.SERVER_PORT, port if address else None),
        (sc.SPANGATE_EVENT_TYPE, _EVENT_TYPES[participant]),
        (sc.SPANGATE_PARTICIPANT_FROM, participant),
        (sc.SPANGATE_PARTICIPANT_TO, "llm"),
    ]
    return tuple((key, value) for key, value in found if value)


def _add_session(parts: Parts, exchange: Exchange) -> None:
    session = exchange.session
    if session is not None:
        parts.append((sc.SESSION_ID, session.id))
        # An id that the gateway made up is not a conversation id (semantic-conventions-genai, gen_ai.conversation.id).
        if session.client_supplied:
            parts.append((sc.GEN_AI_CONVERSATION_ID, session.id))
        if session.previous_id:
            parts.append((sc.SESSION_PREVIOUS_ID, session.previous_id))
        parts.append(_place(session.source, session.confidence, session.sequence, session.header))
        if session.parent_exchange:
            parts.append((sc.SPANGATE_EXCHANGE_PARENT_ID, session.parent_exchange))
    if exchange.user:
        parts.append((sc.USER_ID, exchange.user))


@remembered
def _place(source: str, confidence: float, sequence: int, header: bool) -> tuple[Attribute, ...]:
    return (
        (sc.SPANGATE_SESSION_SOURCE, source),
        (sc.SPANGATE_SESSION_CONFIDENCE, float(confidence)),
        (sc.SPANGATE_SESSION_SEQUENCE, sequence),
        *(((sc.SPANGATE_SESSION_HEADER, True),) if header else ()),
    )


def _add_usage(parts: Parts, usage: Usage) -> None:
    _, input_tokens, output_tokens, cache_read, cache_write, reasoning = usage
    if input_tokens is not None:
        parts.append((sc.GEN_AI_USAGE_INPUT_TOKENS, input_tokens))
    if output_tokens is not None:
        parts.append((sc.GEN_AI_USAGE_OUTPUT_TOKENS, output_tokens))
    if cache_read is not None:
        parts.append((sc.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, cache_read))
    if cache_write is not None:
        parts.append((sc.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, cache_write))
        parts.append((sc.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS, cache_write))
    if reasoning is not None:
        parts.append((sc.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, reasoning))


def _add_outcome(parts: Parts, exchange: Exchange, error: str | None) -> None:
    request, response = exchange.request, exchange.response
    parts.append(
        _outcome(
            response.usage.state if response is not None else "missing",
            _status(exchange),
            exchange.verdict.outcome,
            len(exchange.verdict.assessments),
            exchange.end,
            error,
            exchange.status,
            tuple(response.finish_reasons) if response is not None else (),
            tuple(response.raw_finish_reasons) if response is not None else (),
            exchange.capture,
        )
    )
    if exchange.review is not None:
        parts += _review(exchange.review)
    if exchange.usage_injected:
        parts.append((sc.SPANGATE_USAGE_INJECTED, True))
    if request is not None and request.stream and exchange.first_byte_ns:
        sent = exchange.upstream_started_ns or exchange.opened_ns
        parts.append((sc.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, max(0, exchange.first_byte_ns - sent) / 1e9))
    parts.append((sc.SPANGATE_OVERHEAD_MS, exchange.overhead_ns / 1e6))


def _review(review: Reviewed) -> tuple[Attribute, ...]:
    found: list[tuple[str, AttributeValue]] = [
        (sc.SPANGATE_REVIEW_ID, review.id),
        (sc.SPANGATE_REVIEW_DECISION, review.decision),
        (sc.SPANGATE_REVIEW_REVIEWER, review.reviewer),
        (sc.SPANGATE_REVIEW_WAITED_MS, review.waited_ms),
    ]
    return tuple((key, value) for key, value in found if value != "")


@remembered
def _outcome(
    usage: str,
    status: str,
    outcome: str,
    assessments: int,
    end: str | None,
    error: str | None,
    http_status: int,
    finish_reasons: tuple[str, ...],
    raw_finish_reasons: tuple[str, ...],
    capture: str,
) -> tuple[Attribute, ...]:
    found: list[tuple[str, AttributeValue | None]] = [
        (sc.SPANGATE_USAGE_STATE, usage),
        (sc.SPANGATE_STATUS, status),
        (sc.SPANGATE_OUTCOME, outcome),
        (sc.SPANGATE_ASSESSMENTS, assessments),
        (sc.SPANGATE_END, end),
        (sc.ERROR_TYPE, error),
        (sc.HTTP_RESPONSE_STATUS_CODE, http_status or None),
        (sc.GEN_AI_RESPONSE_FINISH_REASONS, finish_reasons or None),
        # The two lists have different element types (a closed set of words, and whatever the API said).
        (
            sc.SPANGATE_RESPONSE_FINISH_REASONS_RAW,
            raw_finish_reasons if finish_reasons and raw_finish_reasons != finish_reasons else None,
        ),
        (sc.SPANGATE_CAPTURE, capture),
    ]
    return tuple((key, value) for key, value in found if value is not None)


def _add_settings(parts: Parts, exchange: Exchange) -> None:
    request, response = exchange.request, exchange.response
    path = exchange.target.partition("?")[0].partition("#")[0]
    if request is None:
        parts.append(_call(exchange.method, path, exchange.api, False, ()))
    else:
        parts.append(_call(exchange.method, path, exchange.api, request.stream, tuple(request.attributes)))
    if exchange.asks_nothing and (request is None or _DOES_NOT_GENERATE not in request.attributes):
        parts.append(_DOES_NOT_GENERATE)
    if response is not None and response.attributes:
        parts.append(_facts(tuple(response.attributes)))


@remembered
def _call(method: str, path: str, api: str, stream: bool, settings: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
    """As most clients say it all with every call; where an id is among it the block is one call's."""
    known_method = method in _METHODS
    found: list[tuple[str, AttributeValue | None]] = [
        (sc.HTTP_REQUEST_METHOD, method if known_method else "_OTHER"),
        (sc.HTTP_REQUEST_METHOD_ORIGINAL, None if known_method else method),
        (sc.URL_PATH, path),
        (sc.OPENAI_API_TYPE, _API_TYPES.get(api)),
        (sc.GEN_AI_REQUEST_STREAM, stream or None),
        *settings,  # typed by who read them: JSON does not tell 1 from 1.0, the convention does
    ]
    return tuple((key, value) for key, value in found if value is not None)


@remembered
def _facts(said: tuple[Attribute, ...]) -> tuple[Attribute, ...]:
    """As most upstreams say them with every answer; where counts are among them the block is one answer's."""
    return said


def _status(exchange: Exchange) -> str:
    if exchange.refusal is not None or exchange.end in ("blocked", "refused"):
        return "rejected"
    # A person let it go on, or nobody objected in time.
    return "escalated" if exchange.verdict.outcome == "escalated" and exchange.review is None else "completed"


def _error_type(exchange: Exchange) -> str | None:
    """The most telling name for what went wrong, or None; the gateway's own refusal explains more than its status."""
    if exchange.refusal is not None:
        return exchange.refusal.code
    if exchange.response is not None and exchange.response.error_type:
        return exchange.response.error_type
    if exchange.error_type:
        return exchange.error_type
    if exchange.status >= 400:
        return str(exchange.status)
    return exchange.end if exchange.end != "finished" else None


def _evaluations(exchange: Exchange, ended_ns: int) -> list[SpanEvent]:
    """An assessment has no clock of its own: the inlet was assessed when the request went on, the rest at the end."""
    sent_ns = ended_ns
    if exchange.upstream_started_ns:
        sent_ns = exchange.started_ns + max(0, exchange.upstream_started_ns - exchange.opened_ns)
    return [
        SpanEvent(sent_ns if assessment.direction == "inlet" else ended_ns, _evaluation(assessment))
        for assessment in exchange.verdict.assessments
    ]


@lru_cache(maxsize=4096)
def _evaluation(assessment: Assessment) -> EventBody:
    """Remembered by the assessment itself: an agent that found nothing says so with the same object again and again."""
    explanation = ((sc.GEN_AI_EVALUATION_EXPLANATION, assessment.reason),) if assessment.reason else ()
    attributes: tuple[Attribute, ...] = (
        (sc.GEN_AI_EVALUATION_NAME, assessment.agent),
        (sc.GEN_AI_EVALUATION_SCORE_LABEL, assessment.intent),
        *explanation,
        (sc.SPANGATE_AGENT_VERSION, assessment.version),
        (sc.SPANGATE_ROLE, assessment.role),
        (sc.SPANGATE_DIRECTION, assessment.direction),
        (sc.SPANGATE_RISK, assessment.risk),
        (sc.SPANGATE_CONFIDENCE, float(assessment.confidence)),
        (sc.SPANGATE_TOOK_MS, float(assessment.took_ms)),
        (sc.SPANGATE_STATE, assessment.state),
    )
    if assessment.released_bytes is not None:
        attributes += ((sc.SPANGATE_RELEASED_BYTES, assessment.released_bytes),)
    return EventBody(sc.EVENT_GEN_AI_EVALUATION_RESULT, attributes)


def _contents(request: RequestReading | None, response: ResponseReading | None, new_from: int) -> list[Content]:
    contents: list[Content] = []
    if request is not None:
        if request.system:
            parts = [part for entry in request.system for part in _text_parts(entry)]
            # A continuation repeats its instructions and tools: the store has them with the thread's first exchange.
            contents.append(Content(sc.GEN_AI_SYSTEM_INSTRUCTIONS, parts, len(parts) if new_from else 0))
        if request.messages:
            contents.append(Content(sc.GEN_AI_INPUT_MESSAGES, [entry.json for entry in request.messages], new_from))
    if response is not None and response.messages:
        contents.append(Content(sc.GEN_AI_OUTPUT_MESSAGES, [entry.json for entry in response.messages]))
    if request is not None and request.tools is not None:
        tools = _inside_array(request.tools)
        if tools:
            contents.append(Content(sc.GEN_AI_TOOL_DEFINITIONS, [tools], 1 if new_from else 0))
    return contents


def _text_parts(entry: Entry) -> list[bytes]:
    """`gen_ai.system_instructions` wants text parts without a message around them. Worked out once an entry."""
    parts: list[bytes] | None = entry.notes.get(_PARTS_NOTE)
    if parts is None:
        parts = [_to_json(part) for part in _to_message(entry.json).parts if isinstance(part, Text)]
        entry.notes[_PARTS_NOTE] = parts
    return parts


def _inside_array(array: bytes) -> bytes:
    """The elements of a JSON array, as they came."""
    inside = array.strip()[1:-1].strip()
    try:
        inside.decode()
    except UnicodeDecodeError:
        # A client's raw bytes: one invalid sequence in a protobuf string would make a store refuse the whole batch.
        return inside.decode("utf-8", "replace").encode()
    return inside
