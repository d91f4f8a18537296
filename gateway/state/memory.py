"""Session state in one process's memory. Bounded: the least recently used sessions are forgotten, and counted.

Not thread-safe and not shared between processes. Times are Unix nanoseconds and come from the caller.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from os import urandom

from gateway.model.session import CONFIDENCE, MAX_SESSION_ID, Claim, SessionRef, SessionSource

_SHARED = "shared"
_OWNER_SHOWN = 10
"""Characters of a principal's hash behind an id that belongs to somebody else already."""


class _Session:
    """What is remembered of a session. Slots: there are a hundred thousand of these."""

    __slots__ = (
        "closed",
        "generation",
        "known",
        "last_exchange",
        "last_ns",
        "previous",
        "principal",
        "sequence",
        "shared",
    )

    def __init__(self, principal: str, shared: bool, sequence: int, previous: str | None) -> None:
        self.principal = principal
        self.shared = shared
        self.sequence = sequence
        self.previous = previous
        self.last_ns = 0
        self.closed = False
        self.generation = 1
        """How many sessions this id has named; the latest has the visible id `<id>~<generation>`."""
        self.last_exchange: str | None = None
        self.known = b""
        """How many messages the last exchange's request had (4 bytes), and the hash of their digests."""

    def admits(self, claim: Claim) -> bool:
        return self.principal == claim.principal or (self.shared and claim.shared)


class MemoryState:
    """Implements `contracts.SessionState`."""

    def __init__(self, window_s: float = 45.0, close_after_s: float = 86400.0, limit: int = 100_000) -> None:
        """`window_s` and `close_after_s` are still inside at equality; `limit`: sessions, and as many window keys."""
        self.limit = limit
        self._window_ns = round(window_s * 1e9)
        self._close_after_ns = round(close_after_s * 1e9)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._latest: OrderedDict[str, tuple[str, int]] = OrderedDict()
        """Window key → (session id, time) of its latest input."""
        self.counters: Counter[str] = Counter()
        """`sessions_forgotten`, `windows_forgotten`."""
        self._secret = urandom(16)

    def __len__(self) -> int:
        return len(self._sessions)

    def join(self, claim: Claim, now_ns: int) -> SessionRef | None:
        return self._follow(claim, now_ns) if claim.source == "window" else self._named(claim, now_ns)

    def extend(
        self, workspace: str, session_id: str, exchange_id: str, digests: Sequence[bytes]
    ) -> tuple[str | None, int]:
        session = self._sessions.get(_key(workspace, session_id))
        if session is None:
            return None, 0
        known = session.known
        count = int.from_bytes(known[:4], "big")
        grown = 0 < count <= len(digests) and _known(digests[:count]) == known
        parent = session.last_exchange
        session.last_exchange = exchange_id
        session.known = _known(digests)
        return parent, count if grown else 0

    def end(self, workspace: str, session_id: str) -> None:
        session = self._sessions.get(_key(workspace, session_id))
        if session is not None:
            session.closed = True

    # An id was named

    def _named(self, claim: Claim, now_ns: int) -> SessionRef | None:
        first_id, first = self._admitted(claim, claim.session_id)
        if first is None:
            return self._begin(first_id, claim, now_ns, claim.source, None)
        session_id, session = first_id, first
        if first.generation > 1:
            session_id, latest = self._admitted(claim, _suffixed(first_id, str(first.generation)))
            if latest is None:
                return self._begin(session_id, claim, now_ns, claim.source, None)
            session = latest
        if not self._is_closed(session, now_ns):
            return self._enter(session_id, session, claim, now_ns, claim.source)
        if not claim.reopens:
            return None
        first.generation += 1
        next_id, taken = self._admitted(claim, _suffixed(first_id, str(first.generation)))
        if taken is not None and not self._is_closed(taken, now_ns):
            return self._enter(next_id, taken, claim, now_ns, claim.source)
        return self._begin(next_id, claim, now_ns, claim.source, session_id)

    def _admitted(self, claim: Claim, session_id: str) -> tuple[str, _Session | None]:
        """The visible id under which this claim finds, or begins, its session.

        SECURITY: an id that is another principal's is never entered; who asks for it gets a session beside it.
        """
        found = self._found(claim.workspace, session_id)
        if found is None or found.admits(claim):
            return session_id, found
        owner = _SHARED if claim.shared else claim.principal[:_OWNER_SHOWN]
        beside = _suffixed(session_id, owner)
        taken = self._found(claim.workspace, beside)
        if taken is not None and not taken.admits(claim):
            # Somebody named the suffixed id itself: the next one cannot be aimed at.
            text = f"{owner}\n{session_id}".encode()
            beside = _suffixed(session_id, blake2b(text, digest_size=8, key=self._secret).hexdigest())
            taken = self._found(claim.workspace, beside)
        return beside, taken

    def _found(self, workspace: str, session_id: str) -> _Session | None:
        key = _key(workspace, session_id)
        session = self._sessions.get(key)
        if session is not None:
            self._sessions.move_to_end(key)
        return session

    # Nobody named one

    def _follow(self, claim: Claim, now_ns: int) -> SessionRef:
        latest = self._latest.get(claim.window_key) if claim.window_key is not None else None
        if latest is not None and now_ns - latest[1] <= self._window_ns:
            session = self._found(claim.workspace, latest[0])
            if session is not None and not self._is_closed(session, now_ns):
                return self._enter(latest[0], session, claim, now_ns, "window")
        return self._begin(claim.session_id, claim, now_ns, "new", None)

    # Both

    def _begin(
        self, session_id: str, claim: Claim, now_ns: int, source: SessionSource, previous: str | None
    ) -> SessionRef:
        session = _Session(claim.principal, claim.shared, int(claim.begun_before), previous)
        key = _key(claim.workspace, session_id)
        self._sessions[key] = session
        self._sessions.move_to_end(key)
        if len(self._sessions) > self.limit:
            self._sessions.popitem(last=False)
            self.counters["sessions_forgotten"] += 1
        return self._enter(session_id, session, claim, now_ns, source)

    def _enter(
        self, session_id: str, session: _Session, claim: Claim, now_ns: int, source: SessionSource
    ) -> SessionRef:
        session.sequence += 1
        session.last_ns = now_ns
        session.closed = claim.ends
        if claim.window_key is not None:
            self._remember(claim.window_key, session_id, now_ns)
        return SessionRef(
            session_id,
            source,
            CONFIDENCE[source],
            session.sequence,
            claim.header_allowed and session.sequence == 1,
            claim.source != "window" and session_id == claim.session_id,
            session.previous,
        )

    def _remember(self, window_key: str, session_id: str, now_ns: int) -> None:
        self._latest[window_key] = (session_id, now_ns)
        self._latest.move_to_end(window_key)
        if len(self._latest) > self.limit:
            self._latest.popitem(last=False)
            self.counters["windows_forgotten"] += 1

    def _is_closed(self, session: _Session, now_ns: int) -> bool:
        return session.closed or now_ns - session.last_ns > self._close_after_ns


def _key(workspace: str, session_id: str) -> str:
    return f"{workspace}\n{session_id}"


def _suffixed(session_id: str, suffix: str) -> str:
    text = f"{session_id}~{suffix}"
    return text if len(text) <= MAX_SESSION_ID else f"h-{blake2b(text.encode(), digest_size=16).hexdigest()}"


def _known(digests: Sequence[bytes]) -> bytes:
    return len(digests).to_bytes(4, "big") + blake2b(b"".join(digests), digest_size=16).digest()
