"""A finished exchange as one span of the GenAI semantic conventions. No I/O; invents nothing that was not said."""

from functools import lru_cache

import msgspec

from gateway.model.exchange import Exchange, Participant
from gateway.model.message import Entry, Message, RequestReading, ResponseReading, Text
from gateway.model.session import SessionRef
from gateway.model.span import (
    KIND_CLIENT,
    STATUS_ERROR,
    STATUS_UNSET,
    Attributes,
    AttributeValue,
    Content,
    Span,
    SpanEvent,
)
from gateway.model.verdict import Assessment
from gateway.telemetry import semconv as sc

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
_API_TYPES = {"openai_chat": "chat_completions", "openai_responses": "responses"}
_PARTS_NOTE = "telemetry.text_parts"
_to_json = msgspec.json.Encoder().encode
_to_message = msgspec.json.Decoder(Message).decode


def span_of(exchange: Exchange) -> Span:
    """The CLIENT span of an ended exchange. Order: identity, session, usage, outcome, settings; content apart."""
    request, response, session = exchange.request, exchange.response, exchange.session
    attributes = _identity(exchange, request, response)
    if session is not None:
        _add_session(attributes, exchange, session)
    _add_participants(attributes, exchange)
    _add_usage(attributes, response)
    error = _error_type(exchange)
    _add_outcome(attributes, exchange, error)
    _add_settings(attributes, exchange)
    started = exchange.started_ns
    refusal = exchange.refusal
    return Span(
        name=_name(exchange, request),
        kind=KIND_CLIENT,
        trace_id=exchange.trace_id,
        span_id=exchange.span_id,
        start_ns=started,
        end_ns=started + exchange.duration_ns,
        parent_span_id=exchange.parent_span_id,
        trace_state=exchange.trace_state,
        flags=exchange.trace_flags | _HAS_REMOTE_PARENT if exchange.parent_span_id else exchange.trace_flags,
        status=STATUS_ERROR if error is not None else STATUS_UNSET,
        status_message=refusal.message if refusal is not None else "",
        attributes=attributes,
        events=[_evaluation(exchange, assessment) for assessment in exchange.verdict.assessments],
        contents=_contents(request, response, session.new_from if session is not None else 0),
    )


def _name(exchange: Exchange, request: RequestReading | None) -> str:
    if not exchange.operation:
        return f"{exchange.method} {exchange.provider}".rstrip()
    if request is not None and request.model:
        return f"{exchange.operation} {request.model}"
    return exchange.operation


def _identity(exchange: Exchange, request: RequestReading | None, response: ResponseReading | None) -> Attributes:
    attributes: Attributes = []
    add = attributes.append
    # Required by the convention, but a name for an API that was not understood would be invented.
    if exchange.operation:
        add((sc.GEN_AI_OPERATION_NAME, exchange.operation))
    if exchange.provider_name:
        add((sc.GEN_AI_PROVIDER_NAME, exchange.provider_name))
    if request is not None and request.model:
        add((sc.GEN_AI_REQUEST_MODEL, request.model))
    if response is not None:
        if response.model:
            add((sc.GEN_AI_RESPONSE_MODEL, response.model))
        if response.id:
            add((sc.GEN_AI_RESPONSE_ID, response.id))
    add((sc.SPANGATE_EXCHANGE_ID, exchange.id))
    if exchange.server_address:
        add((sc.SERVER_ADDRESS, exchange.server_address))
        if exchange.server_port:
            add((sc.SERVER_PORT, exchange.server_port))
    return attributes


def _add_session(attributes: Attributes, exchange: Exchange, session: SessionRef) -> None:
    add = attributes.append
    add((sc.SESSION_ID, session.id))
    # An id that the gateway made up is not a conversation id (semantic-conventions-genai, gen_ai.conversation.id).
    if session.client_supplied:
        add((sc.GEN_AI_CONVERSATION_ID, session.id))
    if session.previous_id:
        add((sc.SESSION_PREVIOUS_ID, session.previous_id))
    add((sc.SPANGATE_SESSION_SOURCE, session.source))
    add((sc.SPANGATE_SESSION_CONFIDENCE, float(session.confidence)))
    add((sc.SPANGATE_SESSION_SEQUENCE, session.sequence))
    if session.header:
        add((sc.SPANGATE_SESSION_HEADER, True))
    if session.parent_exchange:
        add((sc.SPANGATE_EXCHANGE_PARENT_ID, session.parent_exchange))


def _add_participants(attributes: Attributes, exchange: Exchange) -> None:
    if exchange.user:
        attributes.append((sc.USER_ID, exchange.user))
    attributes.append((sc.SPANGATE_EVENT_TYPE, _EVENT_TYPES[exchange.participant]))
    attributes.append((sc.SPANGATE_PARTICIPANT_FROM, exchange.participant))
    attributes.append((sc.SPANGATE_PARTICIPANT_TO, "llm"))


def _add_usage(attributes: Attributes, response: ResponseReading | None) -> None:
    add = attributes.append
    if response is None:
        add((sc.SPANGATE_USAGE_STATE, "missing"))
        return
    state, input_tokens, output_tokens, cache_read, cache_write, reasoning = response.usage
    if input_tokens is not None:
        add((sc.GEN_AI_USAGE_INPUT_TOKENS, input_tokens))
    if output_tokens is not None:
        add((sc.GEN_AI_USAGE_OUTPUT_TOKENS, output_tokens))
    if cache_read is not None:
        add((sc.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, cache_read))
    if cache_write is not None:
        add((sc.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, cache_write))
        add((sc.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS, cache_write))
    if reasoning is not None:
        add((sc.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, reasoning))
    add((sc.SPANGATE_USAGE_STATE, state))


def _add_outcome(attributes: Attributes, exchange: Exchange, error: str | None) -> None:
    add = attributes.append
    add((sc.SPANGATE_STATUS, _status(exchange)))
    add((sc.SPANGATE_OUTCOME, exchange.verdict.outcome))
    add((sc.SPANGATE_ASSESSMENTS, len(exchange.verdict.assessments)))
    if exchange.end is not None:
        add((sc.SPANGATE_END, exchange.end))
    if error is not None:
        add((sc.ERROR_TYPE, error))
    if exchange.status:
        add((sc.HTTP_RESPONSE_STATUS_CODE, exchange.status))
    response = exchange.response
    if response is not None and response.finish_reasons:
        add((sc.GEN_AI_RESPONSE_FINISH_REASONS, tuple(response.finish_reasons)))
        # The two lists have different element types (a closed set of words, and whatever the API said).
        if tuple(response.raw_finish_reasons) != tuple(response.finish_reasons):
            add((sc.SPANGATE_RESPONSE_FINISH_REASONS_RAW, tuple(response.raw_finish_reasons)))
    if exchange.request is not None and exchange.request.stream and exchange.first_byte_ns:
        sent = exchange.upstream_started_ns or exchange.opened_ns
        add((sc.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, max(0, exchange.first_byte_ns - sent) / 1e9))
    add((sc.SPANGATE_CAPTURE, _capture(exchange)))
    add((sc.SPANGATE_OVERHEAD_MS, exchange.overhead_ns / 1e6))


def _add_settings(attributes: Attributes, exchange: Exchange) -> None:
    add = attributes.append
    method = exchange.method
    if method in _METHODS:
        add((sc.HTTP_REQUEST_METHOD, method))
    else:
        add((sc.HTTP_REQUEST_METHOD, "_OTHER"))
        add((sc.HTTP_REQUEST_METHOD_ORIGINAL, method))
    add((sc.URL_PATH, exchange.target.partition("?")[0]))
    api_type = _API_TYPES.get(exchange.api)
    if api_type is not None:
        add((sc.OPENAI_API_TYPE, api_type))
    request = exchange.request
    if request is not None:
        if request.stream:
            add((sc.GEN_AI_REQUEST_STREAM, True))
        if request.attributes:
            attributes.extend([(key, _typed(key, value)) for key, value in request.attributes])
    if exchange.response is not None:
        attributes.extend(exchange.response.attributes)


def _typed(key: str, value: AttributeValue) -> AttributeValue:
    """JSON does not tell 1 from 1.0; the convention does."""
    if key in sc.DOUBLES:
        return float(value) if type(value) is int else value
    if key in sc.INTS and type(value) is float and value.is_integer():
        return int(value)
    return value


def _status(exchange: Exchange) -> str:
    if exchange.refusal is not None or exchange.end in ("blocked", "refused"):
        return "rejected"
    return "escalated" if exchange.verdict.outcome == "escalated" else "completed"


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


_CAPTURE_STATES = ("unreadable", "truncated", "off", "full")
"""Worst first."""


def _capture(exchange: Exchange) -> str:
    request, response = exchange.request, exchange.response
    if request is None and response is None:
        return "off"
    if request is not None and response is not None and request.state == response.state:
        return request.state
    states = [reading.state for reading in (request, response) if reading is not None]
    return next(state for state in _CAPTURE_STATES if state in states)


def _evaluation(exchange: Exchange, assessment: Assessment) -> SpanEvent:
    when = _assessed_ns(exchange, assessment)
    return SpanEvent(when, sc.EVENT_GEN_AI_EVALUATION_RESULT, _evaluation_attributes(assessment))


@lru_cache(maxsize=4096)
def _evaluation_attributes(assessment: Assessment) -> tuple[tuple[str, AttributeValue], ...]:
    """Remembered by the assessment itself: an agent that found nothing says so with the same object again and again."""
    explanation = ((sc.GEN_AI_EVALUATION_EXPLANATION, assessment.reason),) if assessment.reason else ()
    return (
        (sc.GEN_AI_EVALUATION_NAME, assessment.agent),
        (sc.GEN_AI_EVALUATION_SCORE_LABEL, assessment.intent),
        *explanation,
        (sc.SPANGATE_ROLE, assessment.role),
        (sc.SPANGATE_DIRECTION, assessment.direction),
        (sc.SPANGATE_RISK, assessment.risk),
        (sc.SPANGATE_CONFIDENCE, float(assessment.confidence)),
        (sc.SPANGATE_TOOK_MS, float(assessment.took_ms)),
        (sc.SPANGATE_STATE, assessment.state),
    )


def _assessed_ns(exchange: Exchange, assessment: Assessment) -> int:
    """An assessment has no clock of its own: the inlet was assessed when the request went on, the rest at the end."""
    if assessment.direction == "inlet" and exchange.upstream_started_ns:
        return exchange.started_ns + max(0, exchange.upstream_started_ns - exchange.opened_ns)
    return exchange.started_ns + exchange.duration_ns


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
