"""Session state in one process's memory. Bounded: the least recently used sessions are forgotten, and counted.

Not thread-safe and not shared between processes. Times are Unix nanoseconds and come from the caller.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from os import urandom

import msgspec

from gateway.model.session import MAX_SESSION_ID, Claim, How, Key, Lesson, Place, Thread
from gateway.state.failures import Failures

LASTING_LIMIT, PASSING_LIMIT = 1024, 12
"""Keys a session; the newest are kept."""
_NO_THREAD = Thread(None)
_SHARED = "shared"
_OWNER_SHOWN = 10
"""Characters of a principal's hash behind an id that belongs to somebody else already."""


class _Session:
    """What is remembered of a session. Slots: there are a hundred thousand of these."""

    __slots__ = (
        "closed",
        "generation",
        "key",
        "last_ns",
        "lasting",
        "latest",
        "passing",
        "previous",
        "principal",
        "sequence",
        "shared",
    )

    def __init__(self, key: str, principal: str, shared: bool, sequence: int, previous: str | None) -> None:
        self.key = key
        self.principal = principal
        self.shared = shared
        self.sequence = sequence
        self.previous = previous
        self.last_ns = 0
        self.closed = False
        self.generation = 1
        """How many sessions this id has named; the latest has the visible id `<id>~<generation>`."""
        self.latest: _Turn | None = None
        self.lasting: Sequence[int] = ()
        self.passing: Sequence[int] = ()
        """Shorts of its keys, oldest first: tuples where only one exchange has left any, as in most sessions."""

    @property
    def id(self) -> str:
        return self.key.partition("\n")[2]

    def admits(self, claim: Claim) -> bool:
        return self.principal == claim.principal or (self.shared and claim.shared)


class _Turn(msgspec.Struct, eq=False, gc=False):
    """An exchange that can be found. `exchange`: its id; 12 bytes where it is 24 hex digits, in half the room."""

    session: _Session | None
    """None: the session's own latest."""
    exchange: str | bytes

    @property
    def id(self) -> str:
        return self.exchange if isinstance(self.exchange, str) else self.exchange.hex()


class _Passing(_Turn, eq=False, gc=False):
    learnt_ns: int


class MemoryState:
    """Implements `contracts.SessionState`."""

    # The same rules as `SessionRules`, for which 30 turns of a session take too much room here and calls too long:
    # 1.5 times this resolve and 2.4 times this learn, over dicts. `test_same_answers.py` holds the two together.

    def __init__(
        self,
        window_s: float = 45.0,
        close_after_s: float = 86400.0,
        limit: int = 100_000,
        secret: bytes | None = None,
    ) -> None:
        """`window_s` and `close_after_s` are still inside at equality; `limit`: sessions, and as many window keys;
        `secret`, at most 64 bytes: random where there is none."""
        self.limit = limit
        self._window_ns = round(window_s * 1e9)
        self._close_after_ns = round(close_after_s * 1e9)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._latest: OrderedDict[str, tuple[str, int, int | None]] = OrderedDict()
        """Window key → session id and time of its latest input, and the time of the latest with a history."""
        self._turns: dict[int, _Turn] = {}
        """By the first 60 bits of a key: nobody can aim at another's without the secret in its digest."""
        self.counters: Counter[str] = Counter()
        """`sessions_forgotten`, `windows_forgotten`, `keys_forgotten`."""
        self._secret = urandom(16) if secret is None else secret
        self.failures = Failures()
        self.trouble: str | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def keys(self) -> int:
        """How many are remembered."""
        return len(self._turns)

    def resolve(self, claim: Claim, now_ns: int) -> Place | None:
        if claim.named:
            return self._named(claim, now_ns)
        for index, key in enumerate(claim.keys):
            found = self._learnt(key, claim, now_ns)
            if found is not None:
                return self._continue(found, index, claim, now_ns)
        return self._follow(claim, now_ns)

    def learn(self, lesson: Lesson) -> Thread:
        key = _key(lesson.workspace, lesson.session_id)
        session = self._sessions.get(key)
        if session is None:
            if not lesson.begins:
                return _NO_THREAD
            self._first(key, lesson)
            return _NO_THREAD
        thread = self._thread(session, lesson)
        exchange = _packed(lesson.exchange_id)
        session.latest = _Turn(None, exchange)
        if lesson.lasting:
            session.lasting = self._lasting(session, lesson.lasting, _Turn(session, exchange))
        if lesson.passing:
            turn = _Passing(session, exchange, lesson.ended_ns)
            session.passing = self._passing(session, lesson.passing, turn)
        return thread

    def _first(self, key: str, lesson: Lesson) -> None:
        """A session begins with this lesson. Most have no other: as above, without a look at what came before."""
        session = self._begun(key, lesson.principal, False, 1, None)
        session.last_ns = lesson.started_ns
        exchange = _packed(lesson.exchange_id)
        session.latest = _Turn(None, exchange)
        turn = _Passing(session, exchange, lesson.ended_ns)
        session.lasting = (*map(_short, lesson.lasting),)
        # Several answers to one request may be the same.
        session.passing = (*dict.fromkeys(map(_short, lesson.passing[-PASSING_LIMIT:])),)
        for short in session.lasting:
            self._turns[short] = turn
        for short in session.passing:
            self._turns[short] = turn

    def end(self, workspace: str, session_id: str) -> None:
        session = self._sessions.get(_key(workspace, session_id))
        if session is not None:
            session.closed = True

    def sweep(self, now_ns: int) -> None:
        """Nothing: what is used least goes where there is no more room."""

    def close(self) -> None:
        """Nothing is kept."""

    # An id was named

    def _named(self, claim: Claim, now_ns: int) -> Place | None:
        first_id, first = self._admitted(claim, claim.session_id)
        if first is None:
            return self._begin(first_id, claim, now_ns, "named", None)
        session_id, session = first_id, first
        if first.generation > 1:
            session_id, latest = self._admitted(claim, _suffixed(first_id, str(first.generation)))
            if latest is None:
                return self._begin(session_id, claim, now_ns, "named", None)
            session = latest
        if not self._is_closed(session, now_ns):
            return self._enter(session_id, session, claim, now_ns, "named")
        if not claim.reopens:
            return None
        first.generation += 1
        next_id, taken = self._admitted(claim, _suffixed(first_id, str(first.generation)))
        if taken is not None and not self._is_closed(taken, now_ns):
            return self._enter(next_id, taken, claim, now_ns, "named")
        return self._begin(next_id, claim, now_ns, "named", session_id)

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

    def _learnt(self, key: Key, claim: Claim, now_ns: int) -> _Turn | None:
        short = _short(key.digest)
        turn = self._turns.get(short)
        if turn is None or turn.session is None or not turn.session.key.startswith(claim.workspace + "\n"):
            return None
        if not key.within_ns:
            return turn
        if not isinstance(turn, _Passing) or now_ns - turn.learnt_ns > key.within_ns:
            return None
        del self._turns[short]
        return turn

    def _continue(self, turn: _Turn, index: int, claim: Claim, now_ns: int) -> Place:
        session = turn.session
        assert session is not None
        if self._is_closed(session, now_ns):
            return self._begin(claim.session_id, claim, now_ns, "key", session.id, turn.id, index)
        self._sessions.move_to_end(session.key)
        return self._enter(session.id, session, claim, now_ns, "key", turn.id, index)

    def _follow(self, claim: Claim, now_ns: int) -> Place:
        latest = self._latest.get(claim.window_key) if claim.window_key is not None else None
        if latest is not None and self._follows(latest[1], latest[2], claim, now_ns):
            session = self._found(claim.workspace, latest[0])
            if session is not None and not self._is_closed(session, now_ns):
                return self._enter(latest[0], session, claim, now_ns, "window")
        return self._begin(claim.session_id, claim, now_ns, "new", None)

    def _follows(self, latest_ns: int, history_ns: int | None, claim: Claim, now_ns: int) -> bool:
        """A clock that was set back is no reason to join: prompts may be as far apart the other way, and no farther."""
        if not claim.history and history_ns is not None and now_ns - history_ns <= self._close_after_ns:
            return False
        return abs(now_ns - latest_ns) <= self._window_ns

    # All of them

    def _begin(
        self,
        session_id: str,
        claim: Claim,
        now_ns: int,
        how: How,
        previous: str | None,
        parent: str | None = None,
        index: int = -1,
    ) -> Place:
        key = _key(claim.workspace, session_id)
        session = self._begun(key, claim.principal, claim.shared, int(claim.begun_before), previous)
        return self._enter(session_id, session, claim, now_ns, how, parent, index)

    def _begun(self, key: str, principal: str, shared: bool, sequence: int, previous: str | None) -> _Session:
        before = self._sessions.pop(key, None)
        if before is not None:
            self._forget_keys(before)
        session = self._sessions[key] = _Session(key, principal, shared, sequence, previous)
        if len(self._sessions) > self.limit:
            self._forget_keys(self._sessions.popitem(last=False)[1])
            self.counters["sessions_forgotten"] += 1
        return session

    def _enter(
        self,
        session_id: str,
        session: _Session,
        claim: Claim,
        now_ns: int,
        how: How,
        parent: str | None = None,
        index: int = -1,
    ) -> Place:
        session.sequence += 1
        session.last_ns = max(session.last_ns, now_ns)
        session.closed = claim.ends
        if claim.window_key is not None:
            self._follow_me(claim.window_key, session_id, claim.history, now_ns)
        return Place(session_id, how, session.sequence, session.previous, parent, index)

    def _follow_me(self, window_key: str, session_id: str, history: bool, now_ns: int) -> None:
        before = self._latest.get(window_key)
        history_ns = now_ns if history else before[2] if before is not None else None
        self._latest[window_key] = (session_id, now_ns, history_ns)
        self._latest.move_to_end(window_key)
        if len(self._latest) > self.limit:
            self._latest.popitem(last=False)
            self.counters["windows_forgotten"] += 1

    def _is_closed(self, session: _Session, now_ns: int) -> bool:
        return session.closed or now_ns - session.last_ns > self._close_after_ns

    # Keys

    def _thread(self, session: _Session, lesson: Lesson) -> Thread:
        for index, digest in enumerate(lesson.asked):
            turn = self._turns.get(_short(digest))
            if turn is not None and turn.session is session:
                return Thread(turn.id, index)
        return Thread(session.latest.id if session.latest is not None else None)

    def _lasting(self, session: _Session, digests: Sequence[bytes], turn: _Turn) -> list[int]:
        kept = session.lasting if isinstance(session.lasting, list) else [*session.lasting]
        for short in map(_short, digests):
            before = self._turns.get(short)
            self._turns[short] = turn
            if before is None or before.session is not session:
                kept.append(short)
        return self._bounded(session, kept, LASTING_LIMIT)

    def _passing(self, session: _Session, digests: Sequence[bytes], turn: _Passing) -> list[int]:
        kept = session.passing if isinstance(session.passing, list) else [*session.passing]
        for short in map(_short, digests):
            before = self._turns.get(short)
            self._turns[short] = turn
            if short in kept:
                kept.remove(short)  # among the newest again
            elif before is not None and before.session is session:
                continue
            kept.append(short)
        return self._bounded(session, kept, PASSING_LIMIT)

    def _bounded(self, session: _Session, kept: list[int], limit: int) -> list[int]:
        if len(kept) > limit:
            self._forget(session, kept[:-limit])
            self.counters["keys_forgotten"] += len(kept) - limit
            del kept[:-limit]
        return kept

    def _forget_keys(self, session: _Session) -> None:
        self._forget(session, session.lasting)
        self._forget(session, session.passing)

    def _forget(self, session: _Session, shorts: Sequence[int]) -> None:
        turns = self._turns
        for short in shorts:
            turn = turns.get(short)
            if turn is not None and turn.session is session:
                del turns[short]


def _key(workspace: str, session_id: str) -> str:
    return f"{workspace}\n{session_id}"


def _short(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big") >> 4


def _packed(exchange_id: str) -> str | bytes:
    if len(exchange_id) != 24:
        return exchange_id
    try:
        packed = bytes.fromhex(exchange_id)
    except ValueError:
        return exchange_id
    return packed if packed.hex() == exchange_id else exchange_id


def _suffixed(session_id: str, suffix: str) -> str:
    text = f"{session_id}~{suffix}"
    return text if len(text) <= MAX_SESSION_ID else f"h-{blake2b(text.encode(), digest_size=16).hexdigest()}"
