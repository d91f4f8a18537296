"""What a session state decides about what is in its tables, whatever those are. Pure but for the tables."""

import os
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

import msgspec

from gateway.model.session import MAX_SESSION_ID, Claim, How, Key, Lesson, Place, Thread

LASTING_LESSONS, PASSING_KEYS = 1024, 12
"""Of how many of a session's latest lessons the lasting keys are found, and how many passing ones it has."""
_LASTING_A_LESSON = 64
_SHORT = 8
"""Bytes of a digest that tell it from others."""
_ORDINALS = 1 << 31
_SHARED = "shared"
_OWNER_SHOWN = 10
"""Characters of a principal's hash behind an id that belongs to somebody else already."""


class Session(msgspec.Struct, array_like=True, gc=False):
    """What is remembered of a session. There may be a million of these."""

    key: str
    """`session_key`'s."""
    principal: str
    shared: bool
    sequence: int
    previous: str | None
    lessons: int
    """Ordinal of its latest one. The first is random, so that keys of a forgotten session with this id are not its."""
    last_ns: int = 0
    closed: bool = False
    generation: int = 1
    """How many sessions this id has named; the latest has the visible id `<id>~<generation>`."""
    latest: str | None = None
    """Exchange."""
    passing: bytes = b""
    """8 bytes a key, the newest last."""

    @property
    def id(self) -> str:
        return self.key.partition("\n")[2]

    @property
    def workspace(self) -> str:
        return self.key.partition("\n")[0]

    def admits(self, claim: Claim) -> bool:
        return self.principal == claim.principal or (self.shared and claim.shared)


class Latest(NamedTuple):
    """A user's latest input."""

    session_id: str
    at_ns: int
    history_ns: int | None
    """Time of the latest that repeated earlier turns, in whichever session."""


class Turn(NamedTuple):
    """An exchange that is found by a key."""

    session: Session
    exchange: str
    ordinal: int
    """Of the lesson."""
    passing: bool
    learnt_ns: int

    @property
    def found(self) -> bool:
        """Whether the session has not moved on since, and is the one that it was."""
        return (self.session.lessons - self.ordinal) % _ORDINALS < LASTING_LESSONS


class Tables(Protocol):
    """What an engine keeps. All that one call of the rules reads and writes is one step to everybody else."""

    def session(self, key: str) -> Session | None: ...

    def keep(self, session: Session) -> None:
        """A new one, in place of what was there, or one that changed."""

    def latest(self, window_key: str) -> Latest | None: ...

    def keep_latest(self, window_key: str, latest: Latest) -> None: ...

    def turn(self, digest: bytes) -> Turn | None:
        """Its first 8 bytes are enough. None also where its session is forgotten."""

    def keep_turn(self, digest: bytes, turn: Turn) -> None: ...

    def drop_turn(self, digest: bytes) -> None: ...


class SessionRules:
    """What `contracts.SessionState` says of `resolve`, `learn` and `end`."""

    def __init__(self, window_s: float, close_after_s: float, secret: bytes) -> None:
        """`window_s` and `close_after_s` are still inside at equality; `secret`: shared by all who share the tables."""
        self._window_ns = round(window_s * 1e9)
        self._close_after_ns = round(close_after_s * 1e9)
        self._secret = secret

    def resolve(self, tables: Tables, claim: Claim, now_ns: int) -> Place | None:
        if claim.named:
            return self._named(tables, claim, now_ns)
        for index, key in enumerate(claim.keys):
            turn = _learnt(tables, key, claim, now_ns)
            if turn is not None:
                return self._continue(tables, turn, index, claim, now_ns)
        return self._follow(tables, claim, now_ns)

    def knows(self, tables: Tables, claim: Claim) -> bool:
        """Whether one of the claim's keys would be followed that counts however long ago it was learnt."""
        return any(not key.within_ns and _learnt(tables, key, claim, 0) is not None for key in claim.keys)

    def learn(self, tables: Tables, lesson: Lesson) -> Thread:
        key = session_key(lesson.workspace, lesson.session_id)
        session = tables.session(key)
        if session is None:
            if not lesson.begins:
                return Thread(None)
            session = _begun(key, lesson.principal, False, 1, None)
            session.last_ns = lesson.started_ns
        thread = _thread(tables, session, lesson)
        session.latest = lesson.exchange_id
        session.lessons = (session.lessons + 1) % _ORDINALS
        _make_room(tables, session, lesson.passing[-PASSING_KEYS:])
        tables.keep(session)
        turn = Turn(session, lesson.exchange_id, session.lessons, False, lesson.ended_ns)
        for digest in lesson.lasting[:_LASTING_A_LESSON]:
            tables.keep_turn(digest, turn)
        passing = turn._replace(passing=True)
        for digest in lesson.passing[-PASSING_KEYS:]:
            tables.keep_turn(digest, passing)
        return thread

    def end(self, tables: Tables, workspace: str, session_id: str) -> None:
        session = tables.session(session_key(workspace, session_id))
        if session is not None:
            session.closed = True
            tables.keep(session)

    # An id was named

    def _named(self, tables: Tables, claim: Claim, now_ns: int) -> Place | None:
        first_id, first = self._admitted(tables, claim, claim.session_id)
        if first is None:
            return self._begin(tables, first_id, claim, now_ns, "named")
        session_id, session = first_id, first
        if first.generation > 1:
            session_id, latest = self._admitted(tables, claim, _suffixed(first_id, str(first.generation)))
            if latest is None:
                return self._begin(tables, session_id, claim, now_ns, "named")
            session = latest
        if not self._is_closed(session, now_ns):
            return self._enter(tables, session, claim, now_ns, "named")
        if not claim.reopens:
            return None
        first.generation += 1
        tables.keep(first)
        next_id, taken = self._admitted(tables, claim, _suffixed(first_id, str(first.generation)))
        if taken is not None and not self._is_closed(taken, now_ns):
            return self._enter(tables, taken, claim, now_ns, "named")
        return self._begin(tables, next_id, claim, now_ns, "named", session_id)

    def _admitted(self, tables: Tables, claim: Claim, session_id: str) -> tuple[str, Session | None]:
        """The visible id under which this claim finds, or begins, its session.

        SECURITY: an id that is another principal's is never entered; who asks for it gets a session beside it.
        """
        found = tables.session(session_key(claim.workspace, session_id))
        if found is None or found.admits(claim):
            return session_id, found
        owner = _SHARED if claim.shared else claim.principal[:_OWNER_SHOWN]
        beside = _suffixed(session_id, owner)
        taken = tables.session(session_key(claim.workspace, beside))
        if taken is not None and not taken.admits(claim):
            # Somebody named the suffixed id itself: the next one cannot be aimed at.
            text = f"{owner}\n{session_id}".encode()
            beside = _suffixed(session_id, blake2b(text, digest_size=8, key=self._secret).hexdigest())
            taken = tables.session(session_key(claim.workspace, beside))
        return beside, taken

    # Nobody named one

    def _continue(self, tables: Tables, turn: Turn, index: int, claim: Claim, now_ns: int) -> Place:
        session = turn.session
        if self._is_closed(session, now_ns):
            place = self._begin(tables, claim.session_id, claim, now_ns, "key", session.id)
        else:
            place = self._enter(tables, session, claim, now_ns, "key")
        return place._replace(parent=turn.exchange, key=index)

    def _follow(self, tables: Tables, claim: Claim, now_ns: int) -> Place:
        latest = tables.latest(claim.window_key) if claim.window_key is not None else None
        if latest is not None and self._follows(latest, claim, now_ns):
            session = tables.session(session_key(claim.workspace, latest.session_id))
            if session is not None and not self._is_closed(session, now_ns):
                return self._enter(tables, session, claim, now_ns, "window")
        return self._begin(tables, claim.session_id, claim, now_ns, "new")

    def _follows(self, latest: Latest, claim: Claim, now_ns: int) -> bool:
        """A clock that was set back is no reason to join: prompts may be as far apart the other way, and no farther."""
        history_ns = latest.history_ns
        if not claim.history and history_ns is not None and now_ns - history_ns <= self._close_after_ns:
            return False
        return abs(now_ns - latest.at_ns) <= self._window_ns

    # All of them

    def _begin(
        self, tables: Tables, session_id: str, claim: Claim, now_ns: int, how: How, previous: str | None = None
    ) -> Place:
        key = session_key(claim.workspace, session_id)
        session = _begun(key, claim.principal, claim.shared, int(claim.begun_before), previous)
        return self._enter(tables, session, claim, now_ns, how)

    def _enter(self, tables: Tables, session: Session, claim: Claim, now_ns: int, how: How) -> Place:
        session.sequence += 1
        session.last_ns = max(session.last_ns, now_ns)
        session.closed = claim.ends
        tables.keep(session)
        if claim.window_key is not None:
            before = tables.latest(claim.window_key)
            history_ns = now_ns if claim.history else before.history_ns if before is not None else None
            tables.keep_latest(claim.window_key, Latest(session.id, now_ns, history_ns))
        return Place(session.id, how, session.sequence, session.previous)

    def _is_closed(self, session: Session, now_ns: int) -> bool:
        return session.closed or now_ns - session.last_ns > self._close_after_ns


def session_key(workspace: str, session_id: str) -> str:
    return f"{workspace}\n{session_id}"


def _begun(key: str, principal: str, shared: bool, sequence: int, previous: str | None) -> Session:
    return Session(key, principal, shared, sequence, previous, int.from_bytes(os.urandom(4), "big") % _ORDINALS)


def _learnt(tables: Tables, key: Key, claim: Claim, now_ns: int) -> Turn | None:
    turn = tables.turn(key.digest)
    if turn is None or not turn.found or turn.session.workspace != claim.workspace:
        return None
    if key.within_ns:
        if not turn.passing or now_ns - turn.learnt_ns > key.within_ns:
            return None
        tables.drop_turn(key.digest)
    return turn


def _thread(tables: Tables, session: Session, lesson: Lesson) -> Thread:
    for index, digest in enumerate(lesson.asked):
        turn = tables.turn(digest)
        if turn is not None and turn.found and turn.session.key == session.key:
            return Thread(turn.exchange, index)
    return Thread(session.latest)


def _make_room(tables: Tables, session: Session, digests: Sequence[bytes]) -> None:
    """Among the session's passing keys for these; the oldest are forgotten, unless another session has learnt them."""
    new = dict.fromkeys(digest[:_SHORT] for digest in digests)
    kept = [session.passing[start : start + _SHORT] for start in range(0, len(session.passing), _SHORT)]
    kept = [*(short for short in kept if short not in new), *new]
    for short in kept[:-PASSING_KEYS]:
        turn = tables.turn(short)
        if turn is not None and turn.passing and turn.session.key == session.key:
            tables.drop_turn(short)
    session.passing = b"".join(kept[-PASSING_KEYS:])


def _suffixed(session_id: str, suffix: str) -> str:
    text = f"{session_id}~{suffix}"
    return text if len(text) <= MAX_SESSION_ID else f"h-{blake2b(text.encode(), digest_size=16).hexdigest()}"
