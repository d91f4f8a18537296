"""One call to a model: request, response, and what happened between."""

from typing import Any, Literal

import msgspec

from gateway.model.message import ReadingState, RequestReading, ResponseReading
from gateway.model.review import Reviewed
from gateway.model.session import SessionRef
from gateway.model.verdict import Verdict

End = Literal["finished", "client_gone", "upstream_gone", "upstream_error", "timeout", "blocked", "refused", "shutdown"]
_WORST_FIRST: tuple[ReadingState, ...] = ("unreadable", "truncated", "off", "full")
NOT_UNDERSTOOD = "generic"
"""The wire format of whatever no other is."""
Participant = Literal["user", "agent", "llm", "tool", "memory"]
Headers = list[tuple[bytes, bytes]]
"""Names and values as they came: case, order and duplicates kept."""


class Captured(msgspec.Struct, eq=False, gc=False):
    """A bounded copy of the body bytes that passed, after transfer decoding, still content-encoded."""

    limit: int
    size: int = 0
    """Bytes that passed."""
    kept: int = 0
    """Bytes that were kept: the first `limit`."""
    chunks: list[bytes] = []

    def add(self, data: bytes) -> None:
        size = len(data)
        self.size += size
        kept = self.kept + size
        if kept > self.limit:
            data = data[: self.limit - self.kept]
            kept = self.limit
            if not data:
                return
        self.chunks.append(data)
        self.kept = kept

    @property
    def truncated(self) -> bool:
        return self.size > self.kept

    def joined(self) -> bytes:
        if len(self.chunks) != 1:
            self.chunks = [b"".join(self.chunks)]
        return self.chunks[0]


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """The gateway's own answer instead of the upstream's."""

    status: int
    code: str
    """One of the contract's codes: `blocked_by_policy`, `unknown_route` …"""
    message: str
    """Which rule, why, and what to do. Never matched text."""
    retry_after_s: int | None = None
    review: str = ""
    """Id of the review that it comes from."""


class Connection(msgspec.Struct, eq=False):
    """What the exchanges of one WebSocket have in common. The handshake's own is one of them only if it fails."""

    joined: bool = False
    """The upstream has taken the handshake; what comes now are requests."""
    named: str = ""
    """The session's id as the upstream gave it."""
    session: SessionRef | None = None
    """Of the latest exchange."""
    user: str | None = None
    """As the first exchange resolved it."""
    reserved: bool = False
    """It is the place that the handshake took: the first exchange's."""


class Exchange(msgspec.Struct, eq=False, gc=False):
    id: str
    started_ns: int
    """Unix time."""
    method: str
    target: str
    """Path and query as the client sent them, without the routing prefix. Keys in the query are masked."""
    request_headers: Headers
    request_body: Captured
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes = b""
    trace_flags: int = 1
    trace_state: str = ""
    client_address: str = ""
    header_map: dict[bytes, bytes] = {}
    """The request's headers by lower-case name; of a repeated one the last value."""

    provider: str = ""
    """The configured upstream's name: `openai`, `local`."""
    provider_name: str = ""
    """`gen_ai.provider.name`."""
    api: str = ""
    """The wire format's name: `openai_chat`, `anthropic_messages`, `generic`."""
    operation: str = ""
    """`gen_ai.operation.name`: `chat`; "" where the conventions have no name for it, or nobody knows what it is."""
    server_address: str = ""
    server_port: int = 0

    workspace: str = "default"
    principal: str = ""
    """Keyed hash of the credential; the scope of lineage and timing."""
    user: str | None = None
    participant: Participant = "user"
    origin: str = ""
    service: str = ""
    session_end: bool = False

    connection: Connection | None = None
    """Of a WebSocket whose exchanges share a session; None elsewhere."""
    asks_nothing: bool = False
    """An event on a WebSocket that asks for no response, as far as can be told."""
    unsound: bool = False
    """The request came in frames that a WebSocket must not have, or as text that is no UTF-8."""
    session: SessionRef | None = None
    verdict: Verdict = msgspec.field(default_factory=Verdict)
    request: RequestReading | None = None
    response: ResponseReading | None = None
    refusal: Refusal | None = None
    judges: Any = None
    """The policies that have judged it in line, so that no others judge the rest of it; None where nobody has."""
    review: Reviewed | None = None
    """The latest that it waited for."""
    redactors: tuple[str, ...] = ()
    """Agents that had something taken out of the answer while it went by: what they say of it is not their last word,
    which they say of all of it on the tail."""

    status: int = 0
    """Of the answer the client got; 0 where none began."""
    response_headers: Headers = []
    response_header_map: dict[bytes, bytes] = {}
    """By lower-case name; of a repeated header the last value."""
    response_body: Captured | None = None
    upstream_started_ns: int = 0
    """Monotonic, like every `_ns` below; 0 is "did not happen"."""
    opened_ns: int = 0
    first_byte_ns: int = 0
    """First body byte from upstream."""
    ended_ns: int = 0
    overhead_ns: int = 0
    """Added before the first upstream byte went out, plus what was held."""
    retried: bool = False
    """The request went out twice because a kept connection had died."""
    cost_nusd: int | None = None
    """What it cost by the configured prices, in billionths of a US dollar; None where that is not known."""
    usage_injected: bool = False
    """The upstream was asked for token usage that the client had not asked for."""
    end: End | None = None
    error_type: str | None = None
    """Low-cardinality: an HTTP status, the API's error type, or `connect_timeout` and the like."""

    @property
    def duration_ns(self) -> int:
        return max(0, self.ended_ns - self.opened_ns)

    @property
    def outcome(self) -> str:
        return self.verdict.outcome

    @property
    def capture(self) -> ReadingState:
        """The worse of how much of the two bodies is known; where nobody here understands the API that is nothing."""
        request, response = self.request, self.response
        if request is None and response is None:
            return "off"
        if self.api == NOT_UNDERSTOOD:
            return "unreadable"
        if request is not None and response is not None and request.state == response.state:
            return request.state
        states = [reading.state for reading in (request, response) if reading is not None]
        return next(state for state in _WORST_FIRST if state in states)
