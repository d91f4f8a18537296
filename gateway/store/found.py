"""What the store answers: sessions, exchanges, messages and turns as they lie there. Data only."""

from dataclasses import dataclass

from gateway.link.records import DIGEST_BYTES
from gateway.model.verdict import OUTCOMES, Assessment
from gateway.store.cursors import SessionCursor, TurnCursor
from gateway.store.life import Attention, ClosedBy, Lifecycle, attention


@dataclass(slots=True, frozen=True)
class SessionRow:
    n: int
    id: str
    workspace: str
    first_ns: int
    last_ns: int
    """When the latest of its exchanges ended."""
    last_input_ns: int
    """When the latest of them began."""
    exchanges: int
    failures: int
    flagged: int
    """Exchanges by outcome; the redacted ones count as flagged."""
    escalated: int
    blocked: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    tool_calls: int
    cost_nusd: int | None
    """Billionths of a US dollar, of the exchanges whose cost is known; None where none is."""
    unpriced: int
    """Answered model calls whose cost is not known."""
    worst: int
    user: str | None
    source: str
    origin: str
    models: str
    """One a line, like providers and tools."""
    providers: str
    tools: str
    preview: str
    previous_id: str | None
    """The closed session that this one continues."""
    ended: int
    """An input said that it was the last."""
    closed_by: ClosedBy | None = None
    """As of when it was read; None: it is open."""
    continued_by: tuple[str, ...] = ()
    """Sessions that continue this one, the first ones."""

    @property
    def lifecycle(self) -> Lifecycle:
        return "open" if self.closed_by is None else "closed"

    @property
    def attention(self) -> Attention:
        return attention(self.flagged, self.escalated, self.blocked)

    @property
    def outcome(self) -> str:
        """The strictest outcome among its exchanges."""
        return OUTCOMES[self.worst]

    @property
    def cost_usd(self) -> float | None:
        return _usd(self.cost_nusd)


@dataclass(slots=True, frozen=True)
class ExchangeRow:
    n: int
    id: str
    trace_id: bytes
    workspace: str
    session_id: str
    session_source: str
    session_confidence: float
    session_sequence: int
    session_header: int
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
    stream: int
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
    input_digests: bytes
    output_digests: bytes
    refusal_code: str | None
    new_from: int
    """Index of the first input that the request before it in its session did not have."""
    tool_calls: int
    tools: str
    cost_nusd: int | None

    @property
    def cost_usd(self) -> float | None:
        return _usd(self.cost_nusd)

    @property
    def duration_ms(self) -> float:
        return (self.ended_ns - self.started_ns) / 1e6

    @property
    def rejected(self) -> bool:
        return self.refusal_code is not None or self.end in ("blocked", "refused")

    @property
    def inputs(self) -> list[bytes]:
        return digests_of(self.input_digests)

    @property
    def outputs(self) -> list[bytes]:
        return digests_of(self.output_digests)


@dataclass(slots=True, frozen=True)
class MessageRow:
    digest: bytes
    role: str
    json: bytes
    """Empty where content is not stored."""


@dataclass(slots=True, frozen=True)
class Turn:
    """One exchange with its messages."""

    exchange: ExchangeRow
    inputs: list[MessageRow | None]
    """In a page from the exchange's `new_from` on; None where the message is not stored any more."""
    outputs: list[MessageRow | None]
    assessments: list[Assessment]
    omitted: int = 0
    """Messages ahead of `inputs` that were left out because there are too many."""

    @property
    def repeated(self) -> int:
        """Messages ahead of these that earlier requests had."""
        return len(self.exchange.input_digests) // DIGEST_BYTES - self.omitted - len(self.inputs)


@dataclass(slots=True, frozen=True)
class SessionPage:
    sessions: list[SessionRow]
    next: SessionCursor | None


@dataclass(slots=True, frozen=True)
class TurnPage:
    turns: list[Turn]
    next: TurnCursor | None
    """The `after` of the following page."""


def digests_of(joined: bytes) -> list[bytes]:
    return [joined[start : start + DIGEST_BYTES] for start in range(0, len(joined), DIGEST_BYTES)]


def _usd(nusd: int | None) -> float | None:
    return None if nusd is None else nusd / 1e9
