"""What a worker tells the control plane about one finished exchange. Data only."""

import msgspec

from gateway.model.verdict import Assessment

DIGEST_BYTES = 16
PREVIEW_CHARACTERS = 200


class MessageRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A message, content-addressed: sent once, named by digest afterwards."""

    digest: bytes
    role: str
    json: bytes
    """In the neutral shape; redacted or empty as the store's content setting says."""


class ExchangeRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One finished exchange. Times are Unix nanoseconds; tokens None where not said."""

    id: str
    trace_id: bytes
    span_id: bytes
    workspace: str
    session_id: str
    session_source: str
    session_confidence: float
    session_sequence: int
    session_header: bool
    session_end: bool
    previous_session: str | None
    parent_exchange: str | None
    user: str | None
    participant: str
    origin: str
    service: str
    provider: str
    api: str
    operation: str
    model: str
    response_model: str | None
    method: str
    path: str
    stream: bool
    status: int
    end: str
    error_type: str | None
    outcome: str
    capture: str
    started_ns: int
    ended_ns: int
    first_byte_ms: float | None
    overhead_ms: float
    usage_state: str
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    finish_reasons: str
    """Separated by commas, one a choice."""
    input_digests: bytes
    """16 bytes a message: system instructions first, then the history and the prompt, oldest first."""
    output_digests: bytes
    """16 bytes a message, one a choice."""
    preview: str
    """The first characters of what opened the session, as the content setting allows; "" on later exchanges."""
    messages: tuple[MessageRecord, ...]
    """Only those that the control plane has not been sent lately."""
    assessments: tuple[Assessment, ...]
    refusal_code: str | None
    new_from: int
    """How many of the inputs stood in the request before; what follows is new."""
    tool_calls: int
    """How often the answer asked for a tool, the provider's own among them."""
    tools: str
    """Their names, one a line, each once; the first ones by alphabet."""
    cost_nusd: int | None
    """Billionths of a US dollar; None where it is not known."""
