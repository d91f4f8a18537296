"""The doors between the rooms: what a provider, processor, exporter and session state must be able to do.

Moments of a processor that may have to wait return an awaitable, or None when they are already done: most requests
never wait, and a coroutine for each of them would cost more than the work (a task a request was measured at 9 µs).
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable

from gateway.model.exchange import Exchange, Refusal
from gateway.model.message import Entry, Message, RequestReading, ResponseReading, Unread
from gateway.model.session import Claim, Lesson, Place, Thread
from gateway.model.span import Span
from gateway.model.verdict import Direction


class KnownMessages(Protocol):
    """Reads each message once: a conversation repeats its whole history every turn."""

    def entry(self, raw: bytes, read: Callable[[bytes], Message | Unread]) -> Entry:
        """The entry of this raw JSON; `read` is called only if these very bytes were not seen lately.

        Raises what `read` raises (ValueError for JSON that is not a message).
        """

    def entries(self, raws: Sequence[bytes], read: Callable[[bytes], Message | Unread]) -> list[Entry]:
        """The same for several, in their order."""

    def blob(self, raw: bytes, read: Callable[[bytes], bytes]) -> bytes:
        """The same for what is not a message but repeated like one: tool definitions."""


class ResponseReader(Protocol):
    """Understands one response body as it comes, content decoding already undone. Never raises on bad bytes."""

    cut: bool
    """It says more than anybody means to: not all of it was looked at."""
    corrupt_frames: int
    """How many frames of a checked framing were not what they said; left out."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes, cut anywhere."""

    def end(self, complete: bool) -> ResponseReading:
        """The body is over; `complete` is False where it broke off. Called once. Keeps what came."""


class Provider(Protocol):
    """One wire format. Sans-io, stateless: one instance serves every exchange."""

    name: str
    """`openai_chat`, `anthropic_messages`, `generic`: the exchange's `api`."""
    operation: str
    """`gen_ai.operation.name`, "" where unknown."""

    def matches(self, method: str, path: str) -> bool:
        """Whether this format is spoken at `path` (below the provider's base URL, without query)."""

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        """Understand a whole, decoded request body. Never raises: what cannot be read has `state` "unreadable".

        `target`: path and query below the base URL, keys masked; some APIs say there what others say in the body.
        """

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader: ...

    def refusal(self, refusal: Refusal) -> bytes:
        """A JSON body in this API's own error shape and with its own error type for `refusal.status`."""

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        """The same inside a stream that has begun: that API's in-stream error event, as bytes.

        `content_type`: of the response, for APIs that stream in more than one framing. `first`: no event has left yet.
        """


@runtime_checkable
class AsksInTarget(Protocol):
    """A wire format whose requests may have no body: all that is asked stands in path and query."""

    def read_target(self, target: str) -> RequestReading:
        """`target` as in `Provider.read_request`. Never raises."""


class Ruling(NamedTuple):
    """What a gate says of what it was given."""

    release: bytes = b""
    """May go on to the client now."""
    refusal: Refusal | None = None
    """Instead of whatever has not gone on; the gate's last word."""
    later: "Awaitable[Ruling] | None" = None
    """It cannot say yet: nothing is fed until this has come to another ruling."""


class Gate(Protocol):
    """Stands between one answer and its client: nothing passes that it has not let go. Called on the event loop."""

    events: bool
    """Known once it holds: whether it lets go whole events, so that one of its own can follow what has left."""

    def request(self) -> bytes | Refusal | None:
        """The request may leave: the body to send in place of the client's, or why it must not be sent after all."""

    def sent(self) -> Refusal | None:
        """The request is on its way, and nothing of the answer has come: what was not to delay it is done now."""

    def holds(self) -> bool:
        """The answer's head is in the exchange. False: its body passes as it comes, and nothing more is asked."""

    def feed(self, data: bytes) -> Ruling:
        """The next bytes of the body, cut anywhere; they are in the exchange too, as far as they are kept."""

    def end(self, complete: bool) -> Ruling:
        """The body is over, or broke off. Called once, and only where nothing was refused."""

    def event(self, refusal: Refusal, first: bool) -> bytes:
        """The refusal as an event in the answer; `first`: none has left yet."""

    def ping(self) -> bytes:
        """What may stand between two events and says nothing, to show that somebody is there; b"" where nothing is."""


class Reads(Protocol):
    """What a gate has read. Raises what a provider's bug raises, but for `answer`."""

    def provider(self, exchange: Exchange) -> Provider:
        """Whose wire format it is."""

    def answer(self, exchange: Exchange) -> Iterator[None]:
        """An answer that is here, whole, a slice's work a step: `exchange.response` is set at the end; None: failed."""

    def other_request(self, exchange: Exchange, body: bytes) -> RequestReading:
        """As if this were the exchange's, decoded."""

    def other_answer(self, exchange: Exchange, body: bytes) -> ResponseReading:
        """As if this were the exchange's, decoded."""


class Processor(Protocol):
    """Takes part in an exchange. Implement only the moments you need: nobody pays for the others."""

    needs_reading: bool
    """Whether `on_request` needs `exchange.request`; reading is skipped when no processor does."""
    needs_answer: bool = False
    """Whether it must read an answer before the client does: upstream is asked for one without a coding."""
    gates: bool = False
    """Whether it may have a gate for an exchange."""

    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        """Read, nothing sent upstream yet; the client waits. Set `exchange.refusal` to refuse."""
        return None

    def gate(self, exchange: Exchange, reads: Reads) -> Gate | None:
        """What this exchange's answer has to pass; asked when the exchange begins, of who `gates`."""
        return None

    def on_end(self, exchange: Exchange) -> None:
        """Once, however it ended; synchronous and quick."""
        return

    def on_tail(self, exchange: Exchange) -> None:
        """Afterwards, off the hot path: observers, session totals. Requests and responses are read by now."""
        return

    def on_span(self, span: Span) -> Span | None:
        """About to leave: return what may leave, or None. If it raises, the span stays in."""
        return span

    def counters(self) -> dict[str, int]:
        """What it did and what it left out, for health and metrics."""
        return {}


Fact = str | int | float | bool | datetime | Sequence[str] | Mapping[str, int] | Mapping[str, datetime]


class Call(NamedTuple):
    """A tool call that a message has."""

    name: str
    arguments: Any
    """An object where they were JSON, else the string as it came."""
    digest: bytes
    """16 bytes: the same for the same name and arguments."""


class Sight(Protocol):
    """What a detector may look at: one direction of one exchange. Nothing of it is to be changed."""

    exchange: Exchange
    direction: Direction
    entries: Sequence[Entry]
    """Messages, oldest first; on the inlet with instructions and tool definitions before them. Empty without a body."""

    def fact(self, name: str) -> Fact:
        """As `when` has it: docs/policies.md lists them. Raises KeyError."""

    def calls(self) -> Sequence[Call]:
        """The tool calls of `entries`, oldest first."""


class Finding(NamedTuple):
    """What a detector saw. All of it may be shown to anybody: never content."""

    name: str
    """`tool:denied`, `usage:requests`."""
    times: int = 1
    confidence: float = 1.0
    advice: str = ""
    """What the refused user may do instead; from the policy file."""


class SkippedError(Exception):
    """A detector cannot look, and says why: something is not installed. Its agent's state is then `skipped`."""


class Detector(Protocol):
    """What one category of an agent looks with, where that is no pattern. One for each category that names it.

    Synchronous and quick: it may run while a client waits. TimeoutError makes its agent's state `timed_out`,
    SkippedError `skipped`, any other exception `failed_open` or `failed_closed`, as the agent's `on_error` says.
    """

    def findings(self, sight: Sight) -> Sequence[Finding]:
        """Asked at most once for each direction of an exchange, in order."""

    def ended(self, sight: Sight) -> None:
        """On the tail, once an exchange, after everybody was asked: what is to be remembered of it."""
        return

    def counters(self) -> dict[str, int]:
        """What it did and what it forgot, for health and metrics."""
        return {}


class Exporter(Protocol):
    """Takes finished exchanges away. `export` never blocks and never raises: it queues, or drops and counts."""

    name: str
    """Component id from the config: `otlp_http/backup`."""

    def export(self, exchange: Exchange, span: Span) -> None: ...

    def export_tool(self, span: Span) -> None:
        """The span of a tool that ran between two exchanges; only for who wants spans as such."""

    async def start(self) -> None: ...

    async def drain(self, deadline_s: float) -> None:
        """Send what is queued, at most until the deadline, then stop."""

    def counters(self) -> dict[str, int]:
        """`accepted`, `sent`, `dropped`, `failed`, `retried`, `queue_items`, `queue_bytes` … for health and metrics."""


class Failures(Protocol):
    """Whose attempts got no good answer lately, as far as is known at once. It may name some too many."""

    def note(self, scope: bytes, at_ns: int) -> None:
        """`scope`: a keyed hash, at least 8 bytes; Unix time."""

    def lately(self, now_ns: int, within_ns: int, scope: bytes | None = None) -> bool:
        """Whether the latest was at most this long ago, also by a clock that was set back. None: anybody's."""


class SessionState(Protocol):
    """Where sessions live between exchanges. Atomic a call, one round trip a call; bounded."""

    @property
    def failures(self) -> Failures:
        """Of all who share the state, or at least of this process; the same object at each time. Asked for each
        request that repeats no turns, so that only those that may be retries ask for a key."""

    @property
    def trouble(self) -> str | None:
        """Why sessions are this process's own at the moment; None: they are not, or never were anybody else's."""

    @property
    def counters(self) -> Counter[str]:
        """What had to be forgotten, and the like."""

    def resolve(self, claim: Claim, now_ns: int) -> Place | Awaitable[Place | None] | None:
        """The next place in the claimed session, made if it is new; remembers it as the window key's latest input.

        `now_ns`: Unix time; may go backwards. None: the named session is closed, and the claim does not reopen it. Only
        an engine on a network answers with an awaitable.
        """

    def learn(self, lesson: Lesson) -> Thread:
        """Make an ended exchange findable by its keys, and the session's latest; tells what it continues.

        A key that was learnt before is the newer exchange's from then on; of an unknown session nothing is learnt
        unless the lesson begins it. Never waits: an engine on a network writes behind, before any later call, and
        answers from what it knows itself.
        """

    def end(self, workspace: str, session_id: str) -> None:
        """Close a session now. Never waits."""

    def sweep(self, now_ns: int) -> None:
        """A small step at forgetting what is too old, once in a while. Never waits."""

    def close(self) -> Awaitable[None] | None:
        """The last call: what others share stays for them and for the next start."""


@runtime_checkable
class NetworkState(SessionState, Protocol):
    """Session state that other machines share."""

    async def start(self, agreed: Callable[[bytes], None]) -> None:
        """Before the first call; takes bounded time and never raises, whether anybody answers or not.

        `agreed` is called with the secret that all who share the state use, once it is known, where it is another one
        than was proposed.
        """


class Step(NamedTuple):
    """What one event on a WebSocket means for the exchanges there."""

    number: int
    """The exchange's; the dialogue counts."""
    request: bytes | None = None
    """It begins with this event: a request body as its provider reads it."""
    kept: bytes = b""
    """Part of its response: an event's JSON as its provider's `Answer` takes it, media left out."""
    ends: bool = False
    failed: bool = False
    """It ends with an error that the API says in place of a response."""
    passes: bool = False
    """It begins with an event that asks for no response, as far as can be told: over once the event has left."""


class Dialogue(Protocol):
    """Which events of one connection begin a response, belong to it and end it. Sans-io, bounded; never raises."""

    session: str
    """What the upstream calls the connection's session, "" where it calls it nothing."""

    def client_event(self, event: bytes, whole: bool) -> Step | None:
        """`whole`: False where these are its first bytes only."""

    def server_event(self, event: bytes, whole: bool) -> Step | None: ...

    def left(self, number: int) -> bytes:
        """The exchange is over: what is to be kept of it that no event has brought. Forgets it."""

    def refusal(self, number: int, refusal: Refusal) -> bytes:
        """That API's error event, in answer to the event that began the exchange."""


class Spoken(Protocol):
    """An API that is spoken over a WebSocket."""

    name: str
    """Of the `Provider` that reads its requests and responses."""

    def spoken_at(self, path: str) -> bool:
        """`path`: below the provider's base URL, without query."""

    def dialogue(self, strict: bool) -> Dialogue:
        """`strict`: somebody must see what a client says before it leaves, so that each of its events counts as a
        request, but those with nothing but sound: an upstream may read another type in one, or answer it unasked."""
