"""What one worker knows of the sessions in Valkey: the rules work on it, and a commit makes the outcome everybody's.

What is known here may be out of date: a commit compares it, and brings what is there instead. While Valkey does not
answer it is all there is. Bounded, the least recently used goes first. No I/O.
"""

from collections import Counter, OrderedDict

from gateway.model.session import Lesson, Thread
from gateway.state.rules import Latest, Session, SessionRules, session_key
from gateway.state.valkey_records import Change, Kept, Names, Pointer, decode_session, encode, readable
from gateway.state.valkey_view import Looked, View

_KEYS_A_SESSION = 16
_UNTOLD_LESSONS, _UNTOLD_SESSIONS, _UNTOLD = 64, 10_000, 100_000
"""Lessons of a session, sessions, and what else waits to be told. While Valkey is down for long, the oldest go."""

Untold = Lesson | tuple[str, str]
"""A lesson, or workspace and id of a session that was ended."""


class Held:
    """A session as this worker knows it."""

    __slots__ = ("session", "shared", "untold")

    def __init__(self) -> None:
        self.session: Session | None = None
        """With what is untold."""
        self.shared = b""
        """As Valkey had it when it was last heard of; empty: not at all."""
        self.untold: list[Untold] = []


class Known:
    """Not thread-safe."""

    def __init__(self, names: Names, rules: SessionRules, kept: Kept, limit: int, counters: Counter[str]) -> None:
        """`limit`: sessions, as many windows, and 16 times as many keys. `counters` gets `sessions_forgotten`, and
        `untold`: what was never told, for want of room."""
        self.names = names
        self.kept = kept
        self._rules = rules
        self._limit = limit
        self._counters = counters
        self.sessions: OrderedDict[bytes, Held] = OrderedDict()
        """By their names in Valkey."""
        self.windows: OrderedDict[str, Latest] = OrderedDict()
        self.turns: OrderedDict[bytes, Pointer] = OrderedDict()
        """By the first 8 bytes of their digest."""
        self.untold_sessions: OrderedDict[bytes, None] = OrderedDict()
        self.untold: OrderedDict[bytes, Change] = OrderedDict()
        """Pointers and windows, by name."""

    def held(self, name: bytes) -> Held:
        held = self.sessions.get(name)
        if held is None:
            held = self.sessions[name] = Held()
            if len(self.sessions) > self._limit:
                self.sessions.popitem(last=False)
                self._counters["sessions_forgotten"] += 1
        else:
            self.sessions.move_to_end(name)
        return held

    # What the rules have decided here

    def keep(self, view: View, window_key: str | None = None) -> None:
        """What a view has changed, for this worker; what others are to be told is told later."""
        for name, session in view.kept.items():
            self.held(name).session = session
            self.tell_session(name)
        self.note(view, window_key)

    def note(self, view: View, window_key: str | None) -> None:
        """The same, but the sessions."""
        for short, pointer in view.turns.items():
            if pointer is None:
                self.turns.pop(short, None)
            else:
                self.turns[short] = pointer
                self.turns.move_to_end(short)
        while len(self.turns) > self._limit * _KEYS_A_SESSION:
            self.turns.popitem(last=False)
        if window_key is not None and view.written is not None:
            self.windows[window_key] = view.written
            self.windows.move_to_end(window_key)
            if len(self.windows) > self._limit:
                self.windows.popitem(last=False)

    def learn(self, lesson: Lesson) -> Thread:
        """Others are told later."""
        view = View(self, Looked())
        thread = self._rules.learn(view, lesson)
        for name in view.kept:
            self._add(self.held(name), lesson)
        self._learnt(view)
        return thread

    def end(self, workspace: str, session_id: str) -> None:
        """Also of one of which only others know."""
        name = self.names.session(session_key(workspace, session_id))
        view = View(self, Looked())
        self._rules.end(view, workspace, session_id)
        self._add(self.held(name), (workspace, session_id))
        self._learnt(view)
        self.tell_session(name)

    def tell_session(self, name: bytes) -> None:
        self.untold_sessions[name] = None
        if len(self.untold_sessions) > _UNTOLD_SESSIONS:
            self.untold_sessions.popitem(last=False)
            self._counters["untold"] += 1

    def tell(self, change: Change) -> None:
        self.untold[change.name] = change
        if len(self.untold) > _UNTOLD:
            self.untold.popitem(last=False)
            self._counters["untold"] += 1

    def _learnt(self, view: View) -> None:
        for short, pointer in view.turns.items():
            before = self.turns.get(short)
            name = self.names.turn(short)
            if pointer is not None:
                kept_ms = self.kept.passing_ms if pointer.passing else self.kept.session_ms
                self.tell(Change(name, None, encode(pointer), kept_ms))
            elif before is not None:
                self.tell(Change(name, encode(before), b""))  # unless it leads elsewhere by now
        self.keep(view)

    def _add(self, held: Held, lesson: Untold) -> None:
        held.untold.append(lesson)
        if len(held.untold) > _UNTOLD_LESSONS:
            del held.untold[0]
            self._counters["untold"] += 1

    # What Valkey has

    def heard(self, name: bytes, shared: bytes) -> None:
        """That this is what it has; empty: nothing, or it was evicted, and what is known here stays."""
        held = self.held(name)
        if shared != held.shared:
            held.shared = shared
            if shared:
                held.session = readable(decode_session, shared)
                self._ahead(name, held)

    def told(self, name: bytes, session: Session, shared: bytes, untold: int) -> None:
        """That it has taken this; `untold`: how many of the held lessons were in it."""
        held = self.held(name)
        held.session, held.shared = session, shared
        del held.untold[:untold]
        self._ahead(name, held)

    def forget_untold(self, name: bytes) -> None:
        """Of a session that nobody has."""
        self.held(name).untold.clear()
        self.untold_sessions.pop(name, None)

    def _ahead(self, name: bytes, held: Held) -> None:
        """Upon what Valkey has, that which it was not told yet."""
        if not held.untold:
            self.untold_sessions.pop(name, None)
        for lesson in held.untold:
            view = View(self, Looked())
            if isinstance(lesson, Lesson):
                self._rules.learn(view, lesson)
            else:
                self._rules.end(view, *lesson)
            self._learnt(view)
