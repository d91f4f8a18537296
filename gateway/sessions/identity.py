"""Who speaks: workspace, principal, user, participant, origin, service. Pure; credentials are hashed, never shown."""

import re
from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from gateway.model.credentials import IDENTIFYING_SLOTS
from gateway.model.exchange import Participant
from gateway.model.message import RequestReading
from gateway.sessions.agents import Client
from gateway.sessions.ids import bounded
from gateway.sessions.packed import PACKED_FIELD, unpacked
from gateway.sessions.subagents import CLAUDES_AGENT, CODEXS_SUB_AGENT, PARENT_SESSION

HeaderMap = Mapping[bytes, bytes]
"""Values by lower-case name."""

_LABELS = frozenset({b"x-user-id", b"x-participant", b"x-origin", b"x-service", b"x-workspace"})
_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PARTICIPANTS: dict[bytes, Participant] = {
    b"user": "user",
    b"agent": "agent",
    b"tool": "tool",
    b"memory": "memory",
}
_INSTRUCTING = ("system", "developer")
_ANSWERING = ("tool", "function", "agent")
_REMEMBERED = 4096
_LONGEST_REMEMBERED = 4096


class Identity(NamedTuple):
    workspace: str
    principal: str
    """Keyed hash of the credential; "" where none came."""
    user: str | None
    participant: Participant | None
    """None: not said; the last message tells (`speaker`)."""
    origin: str
    service: str


class Principals:
    """Credentials → principals. Remembers the last few thousand, because a keyed hash costs as much as the rest."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: at most 64 bytes; who shares it finds the same principals."""
        self._secret = secret
        self._known: dict[bytes, str] = {}

    def of(self, headers: HeaderMap) -> str:
        for name in IDENTIFYING_SLOTS:
            credential = headers.get(name)
            if credential:
                return self._known.get(credential) or self._hashed(credential)
        return ""

    def _hashed(self, credential: bytes) -> str:
        # The scheme is no part of the key: `Bearer k` and `x-api-key: k` are the same caller.
        scheme, _, rest = credential.partition(b" ")
        key = rest.strip() if scheme.lower() == b"bearer" else credential
        principal = blake2b(key, digest_size=16, key=self._secret).hexdigest()
        if len(credential) <= _LONGEST_REMEMBERED:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[credential] = principal
        return principal


def identity_of(headers: HeaderMap, principal: str, client: Client, provider: str, ignored: Counter[str]) -> Identity:
    """What the headers say. A label that cannot be one is ignored, and counted in `ignored` by its header.

    Until there are gateway keys nothing limits `x-workspace`: it sorts, it does not protect.
    """
    if _LABELS.isdisjoint(headers):
        return Identity("default", principal, None, None, client.family, provider)
    user = headers.get(b"x-user-id")
    participant = headers.get(b"x-participant")
    origin = headers.get(b"x-origin")
    service = headers.get(b"x-service")
    workspace = headers.get(b"x-workspace")
    return Identity(
        _workspace(workspace, ignored) if workspace else "default",
        principal,
        _label(user, "x-user-id", ignored) if user else None,
        _participant(participant, ignored) if participant else None,
        (_label(origin, "x-origin", ignored) if origin else None) or client.family,
        (_label(service, "x-service", ignored) if service else None) or provider,
    )


def _label(raw: bytes, header: str, ignored: Counter[str]) -> str | None:
    label = bounded(raw)
    if label is None:
        ignored[header] += 1
    return label


def _workspace(raw: bytes, ignored: Counter[str]) -> str:
    name = raw.decode("latin-1")
    if _WORKSPACE.fullmatch(name):
        return name
    ignored["x-workspace"] += 1
    return "default"


def _participant(raw: bytes, ignored: Counter[str]) -> Participant | None:
    participant = _PARTICIPANTS.get(raw.lower())
    if participant is None:
        ignored["x-participant"] += 1
    return participant


def user_of(reading: RequestReading, ignored: Counter[str]) -> str | None:
    """The user that a body names; of a packed field its account, without the session that is packed beside it."""
    written = reading.session_hints.get(PACKED_FIELD) or reading.user
    if not written:
        return None
    user = unpacked(written).user or reading.user
    return _label(user.encode("utf-8", "surrogatepass"), "body", ignored) if user else None


def speaker(reading: RequestReading, headers: HeaderMap) -> Participant:
    """Who sent the input, where no header of ours says it: an agent answers with a tool's result, a user does not.

    What a sub-agent is told it was told by another agent.
    Instructions may follow it: Claude Code's sub-agents say behind their first result which agents there are.
    """
    if CLAUDES_AGENT in headers or CODEXS_SUB_AGENT in headers or PARENT_SESSION in headers:
        return "agent"
    last = next((entry for entry in reversed(reading.messages) if entry.role not in _INSTRUCTING), None)
    if last is None:
        return "user"
    tool_result = last.role in _ANSWERING or b'"type":"tool_call_response"' in last.json
    return "agent" if tool_result else "user"
