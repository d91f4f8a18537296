"""The rules' tables for one call on what a worker knows, and on what it has just looked up. No I/O."""

import copy
from typing import TYPE_CHECKING

from gateway.state.rules import Latest, Session, Turn
from gateway.state.valkey_records import SESSION_PREFIX, SHORT, Pointer, decode_pointer, decode_prompt, readable

if TYPE_CHECKING:
    from gateway.state.valkey_known import Known


class Looked:
    """What one claim's look-up brought, as Valkey has it."""

    __slots__ = ("history_ns", "incomplete", "prompt", "taken", "turns", "window")

    def __init__(self) -> None:
        self.turns: dict[bytes, bytes] = {}
        """By the first 8 bytes of a digest; empty: there is none."""
        self.window = False
        """It was asked for."""
        self.prompt = b""
        self.history_ns: int | None = None
        self.incomplete = False
        """Something could not be asked for."""
        self.taken: set[bytes] = set()
        """Names of keys that count once and are this claim's now."""

    def latest(self) -> Latest | None:
        prompt = readable(decode_prompt, self.prompt) if self.prompt else None
        return Latest(prompt.session_id, prompt.at_ns, self.history_ns) if prompt is not None else None


class View:
    """Implements `rules.Tables`. On copies, so that a call which is not committed has changed nothing."""

    __slots__ = ("_known", "_looked", "_seen", "kept", "read", "turns", "written")

    def __init__(self, known: "Known", looked: Looked) -> None:
        self._known = known
        self._looked = looked
        self._seen: dict[bytes, Session | None] = {}
        self.read: dict[bytes, tuple[bytes, int]] = {}
        """Sessions that decide something, by name: what Valkey is thought to have, and how many untold lessons the
        session here is ahead of that."""
        self.kept: dict[bytes, Session] = {}
        self.turns: dict[bytes, Pointer | None] = {}
        """Those that changed, by the first 8 bytes of their digest."""
        self.written: Latest | None = None

    def session(self, key: str) -> Session | None:
        name = self._known.names.session(key)
        session = self._at(name)
        self._decides(name)
        return session if session is not None and session.key == key else None

    def keep(self, session: Session) -> None:
        name = self._known.names.session(session.key)
        self._seen[name] = self.kept[name] = session
        self._decides(name)

    def latest(self, window_key: str) -> Latest | None:
        return self._looked.latest() if self._looked.window else self._known.windows.get(window_key)

    def keep_latest(self, window_key: str, latest: Latest) -> None:
        self.written = latest

    def turn(self, digest: bytes) -> Turn | None:
        short = digest[:SHORT]
        pointer = self._pointer(short)
        session = self._at(SESSION_PREFIX + pointer.name.encode()) if pointer is not None else None
        if pointer is None or session is None:
            return None
        if pointer.passing and not _among(short, session.passing):
            return None  # newer ones have taken its place, wherever they were learnt
        return Turn(session, pointer.exchange, pointer.ordinal, pointer.passing, pointer.learnt_ns)

    def keep_turn(self, digest: bytes, turn: Turn) -> None:
        name = self._known.names.session(turn.session.key).removeprefix(SESSION_PREFIX).decode()
        self.turns[digest[:SHORT]] = Pointer(name, turn.exchange, turn.ordinal, turn.learnt_ns, turn.passing)

    def drop_turn(self, digest: bytes) -> None:
        self.turns[digest[:SHORT]] = None

    def _pointer(self, short: bytes) -> Pointer | None:
        if short in self.turns:
            return self.turns[short]
        looked = self._looked.turns.get(short)
        if looked is None:
            return self._known.turns.get(short)
        return readable(decode_pointer, looked) if looked else None

    def _at(self, name: bytes) -> Session | None:
        if name not in self._seen:
            held = self._known.sessions.get(name)
            self._seen[name] = copy.copy(held.session) if held is not None else None
        return self._seen[name]

    def _decides(self, name: bytes) -> None:
        if name not in self.read:
            held = self._known.sessions.get(name)
            self.read[name] = (held.shared, len(held.untold)) if held is not None else (b"", 0)


def _among(short: bytes, passing: bytes) -> bool:
    return any(passing.startswith(short, start) for start in range(0, len(passing), SHORT))
