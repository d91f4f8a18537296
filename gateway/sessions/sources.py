"""Which headers and body fields name a conversation, in which order. Pure.

Deliberately not here, though they look like it: `mcp-session-id` (a transport's), `traceparent` and trace ids (an OTel
trace is not a session), `vscode-sessionid` and `x-codex-window-id` (windows), `x-session-affinity` (where to send it),
`x-client-request-id`, `x-interaction-id` and `x-codex-turn-state` (one call or turn), `x-claude-code-agent-id` (a
sub-agent, new for each spawn), parents' ids (but that of OpenCode's sessions), account and user ids, and
`prompt_cache_key` but from Codex: many of others' conversations may share one.
"""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from gateway.model.message import RequestReading
from gateway.model.semconv import GEN_AI_CONVERSATION_ID, SESSION_ID
from gateway.sessions.identity import HeaderMap
from gateway.sessions.ids import bounded
from gateway.sessions.packed import PACKED_FIELD, unpacked
from gateway.sessions.subagents import OPENCODE, PARENT_SESSION

EXPLICIT = b"x-spangate-session-id"
PLAIN = b"x-session-id"
"""Explicit when a person's code sends it, borrowed when an agent does."""
_AFFINITY = b"x-session-affinity"
_TURN_METADATA = b"x-codex-turn-metadata"

BORROWED = (
    b"x-claude-code-session-id",
    b"session-id",  # Codex; shared by the sub-agents of a thread
    b"session_id",
    b"thread-id",
    b"conversation_id",
    _TURN_METADATA,
    b"x-opencode-session",
    PLAIN,
    b"x-amp-thread-id",
    b"agent-session-id",  # Goose
    b"x-qwen-code-session-id",
    b"x-kilo-session",
    b"x-kilocode-taskid",
    b"x-roo-root-task-id",  # sub-tasks belong to the root's session
    b"x-roo-task-id",
    b"x-task-id",  # Cline
    b"x-continue-session-id",
    b"x-agent-task-id",  # GitHub Copilot
    b"x-openwebui-chat-id",
    b"x-coder-chat-id",
    b"x-mux-workspace-id",
    b"x-hermes-session-id",
    b"x-deepseek-harness-session-id",
    b"x-grok-conv-id",
    b"x-litellm-session-id",
    b"helicone-session-id",
    b"x-bf-session-id",
    b"x-dynamo-trajectory-id",
    b"x-conversation-id",
    b"x-thread-id",
    b"x-chat-id",
    b"anthropic-conversation-id",
    b"claude-conversation-id",
)
"""Agents' and proxies' own headers, the surest first."""

_NEVER = frozenset(
    {
        EXPLICIT,
        PLAIN,
        PARENT_SESSION,
        b"x-mcp-session-id",
        b"x-vscode-session-id",
        b"x-amzn-bedrock-agentcore-policy-session-id",
    }
)
"""End like a generic session header and are none."""

BODY = (
    "metadata.session_id",
    "client_metadata.session_id",
    "client_metadata.thread_id",
    "session_id",
    "litellm_session_id",
    "metadata.litellm_session_id",
    "metadata.langfuse_session_id",
    "conversation_id",
    "metadata.conversation_id",
    "thread_id",
    "metadata.thread_id",
    "chat_id",
    "metadata.chat_id",
    "episode_id",
)
_MANY = 64
"""Header names; more of them are no client's of today, and not worth remembering."""
CHAIN = ("conversation", "conversation.id")
"""Of conversations that the provider keeps."""
_CODEX_THREAD = "prompt_cache_key"
_IN_BAGGAGE = (SESSION_ID, GEN_AI_CONVERSATION_ID)
_LONGEST_BAGGAGE = 8192
"""Bytes; what W3C Baggage (3.3.2) asks everybody to take."""


class Named(NamedTuple):
    """A session id that came with the request."""

    id: str
    explicit: bool


class BadExplicitIdError(ValueError):
    """An explicit id that cannot be one: the caller is told, because it asked for a session and would not get it."""


class _TurnMetadata(msgspec.Struct):
    session_id: str | None = None


_turn_metadata = msgspec.json.Decoder(_TurnMetadata).decode


class Sources:
    """Finds the session id in a request."""

    def __init__(self, configured: Iterable[str]) -> None:
        """`configured`: further header names, borrowed, before the built-in ones."""
        first = [name.lower().encode() for name in configured]
        # OpenCode's sub-agents have sessions of their own: what they do belongs to the one that spawned them.
        names = dict.fromkeys([*first, PARENT_SESSION, *BORROWED])
        self._rank_of: dict[bytes, int] = {name: rank for rank, name in enumerate(names)}
        # A client says the same names with every call.
        self._candidates = lru_cache(maxsize=256)(self._ranked)
        self.ignored: Counter[str] = Counter()
        """Borrowed ids that could not be ids, by where they stood."""

    def in_headers(self, headers: HeaderMap, agent: bool) -> Named | None:
        """The id that the headers name; `agent`: the client is one that names its own sessions.

        Raises `BadExplicitIdError`.
        """
        explicit = headers.get(EXPLICIT) or (b"" if agent or _AFFINITY in headers else headers.get(PLAIN, b""))
        if explicit and not explicit.isspace():
            named = bounded(explicit)
            if named is None:
                raise BadExplicitIdError
            return Named(named, True)
        return self._borrowed(headers)

    def _borrowed(self, headers: HeaderMap) -> Named | None:
        names = tuple(headers)
        for name in self._candidates(names) if len(names) <= _MANY else self._ranked(names):
            value = headers[name]
            found = _session_of_turn(value) if name == _TURN_METADATA else bounded(value)
            if found is not None:
                return Named(found, False)
            self.ignored["header"] += 1
        return None

    def _ranked(self, names: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Those of a request's header names that may name a session, the surest first."""
        generic = len(self._rank_of)
        ranks = [(self._rank_of.get(name, generic), name) for name in names if name in self._rank_of or _generic(name)]
        if OPENCODE.isdisjoint(names):
            ranks = [(rank, name) for rank, name in ranks if name != PARENT_SESSION]
        return tuple([name for _, name in sorted(ranks)])

    def in_baggage(self, headers: HeaderMap) -> Named | None:
        """The id in W3C baggage: `session.id=…`, percent-encoded."""
        baggage = headers.get(b"baggage")
        if baggage is None or len(baggage) > _LONGEST_BAGGAGE:
            return None
        members = dict(map(_member, baggage.split(b",")))
        return self._first([members[name] for name in _IN_BAGGAGE if name in members], "baggage")

    def in_body(self, reading: RequestReading, headers: HeaderMap) -> Named | None:
        """The id that the body names."""
        hints = reading.session_hints
        if not hints:
            return None
        packed = hints.get(PACKED_FIELD)
        written = [unpacked(packed).session] if packed else []
        written += [hints[field] for field in BODY if field in hints]
        if _CODEX_THREAD in hints and _from_codex(headers):
            written.append(hints[_CODEX_THREAD])
        return self._first([text.encode("utf-8", "surrogatepass") for text in written if text], "body")

    def in_chain(self, reading: RequestReading) -> Named | None:
        """The conversation that the body asks its provider to go on with."""
        hints = reading.session_hints
        written = [hints[field] for field in CHAIN if field in hints] if hints else []
        return self._first([text.encode("utf-8", "surrogatepass") for text in written if text], "body")

    def _first(self, written: Iterable[bytes], where: str) -> Named | None:
        for raw in written:
            found = bounded(raw)
            if found is not None:
                return Named(found, False)
            self.ignored[where] += 1
        return None


def _member(written: bytes) -> tuple[str, bytes]:
    """One of baggage's list: `key=value;properties`."""
    key, _, value = written.partition(b";")[0].partition(b"=")
    return key.strip().decode("latin-1"), unquote_to_bytes(value.strip())


def _from_codex(headers: HeaderMap) -> bool:
    return headers.get(b"user-agent", b"").lower().startswith(b"codex")


def _generic(name: bytes) -> bool:
    """The generic pattern: `x-…-session-id`."""
    generic = name.startswith(b"x-") and name.endswith(b"-session-id") and name not in _NEVER
    return generic and len(name) > len(b"x--session-id")


def _session_of_turn(metadata: bytes) -> str | None:
    try:
        session = _turn_metadata(metadata).session_id
    except msgspec.MsgspecError:
        return None
    return bounded(session.encode("utf-8", "surrogatepass")) if session else None
