"""Session state that all workers of a machine share and that survives their restarts: an LMDB map. Bounded.

A call is one write transaction, some ten microseconds; others wait as long. Two workers that see the first two messages
of one conversation at the same moment come one after the other, and find one session.
"""

import struct
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec

from gateway.model.session import Claim, Lesson, Place, Thread
from gateway.state.aged import KEY_BYTES, AgedTable
from gateway.state.blocks import shared_bytes
from gateway.state.failures import TABLE_BYTES, Failures
from gateway.state.lmdb_file import OPENING_WAIT_S, StateFile, StateFileError, Transaction
from gateway.state.rules import Latest, Session, SessionRules, Turn

_VERSION = "sessions 1"
_SWEEP_ENTRIES = 200
_KEYS_A_SESSION = 64
"""On average, of as many sessions as there may be."""
_TURN = struct.Struct(">I8s")
_PASSING = 1 << 31
_TIME_BYTES = 8
_HEX_ID, _OTHER_ID = b"\0", b"\1"
_HEX_CHARACTERS = 24
"""Of an exchange's id as this gateway makes them; in half the room."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Session).decode


class LmdbState:
    """Implements `contracts.SessionState`. One for a folder and process."""

    def __init__(
        self,
        folder: Path,
        secret: bytes,
        window_s: float = 45.0,
        close_after_s: float = 86400.0,
        limit: int = 1_000_000,
        keep_s: float = 30 * 86400.0,
        wait_s: float = OPENING_WAIT_S,
    ) -> None:
        """`secret`: at most 64 bytes, of all who share the folder. `limit`: sessions, as many window keys, and 64
        times as many keys of exchanges. `keep_s`: how long after its latest input a session is known. `wait_s`: for
        others that open it.

        Raises StateFileError, as every call does.
        """
        self._file = StateFile(folder, _VERSION, ["sessions", "windows", "keys"], wait_s=wait_s)
        try:
            self.failures = Failures(shared_bytes(folder / "failures", TABLE_BYTES))
        except OSError as error:
            self._file.close()
            raise StateFileError(f"session state in {folder} cannot be opened: {error}") from error
        self.trouble: str | None = None
        self.counters = self._file.counters
        self._secret = secret
        self._rules = SessionRules(window_s, close_after_s, secret)
        self._sessions = AgedTable(self._file, "sessions", limit, self.counters)
        self._windows = AgedTable(self._file, "windows", limit, self.counters)
        self._keys = AgedTable(self._file, "keys", limit * _KEYS_A_SESSION, self.counters)
        self._keep_ns = round(keep_s * 1e9)
        self._keep_windows_ns = round(max(window_s, close_after_s) * 1e9)

    def resolve(self, claim: Claim, now_ns: int) -> Place | None:
        return self._file.write(lambda transaction: self._rules.resolve(self._tables(transaction), claim, now_ns))

    def knows(self, claim: Claim) -> bool:
        """Whether one of the claim's keys was learnt; changes nothing."""
        return self._file.write(lambda transaction: self._rules.knows(self._tables(transaction), claim))

    def learn(self, lesson: Lesson) -> Thread:
        return self._file.write(lambda transaction: self._rules.learn(self._tables(transaction), lesson))

    def learn_all(self, lessons: Iterable[Lesson]) -> None:
        """Many at once, for who has them all; others wait as long."""
        kept = tuple(lessons)  # it may be gone through twice

        def learn(transaction: Transaction) -> None:
            tables = self._tables(transaction)
            for lesson in kept:
                self._rules.learn(tables, lesson)

        self._file.write(learn)

    def end(self, workspace: str, session_id: str) -> None:
        self._file.write(lambda transaction: self._rules.end(self._tables(transaction), workspace, session_id))

    def sweep(self, now_ns: int) -> None:
        """Forget the oldest among the next 200 entries of each table; the next call goes on with those behind them."""
        for table, kept_ns in (
            (self._sessions, self._keep_ns),
            (self._windows, self._keep_windows_ns),
            (self._keys, self._keep_ns),
        ):
            self._sweep(table, now_ns - kept_ns)

    def _sweep(self, table: AgedTable, before_ns: int) -> None:
        self._file.write(lambda transaction: table.sweep(transaction, before_ns, _SWEEP_ENTRIES))

    def close(self) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return self._file.size

    @property
    def used(self) -> int:
        """Bytes of these that hold something, or did."""
        return self._file.used

    def counts(self) -> dict[str, int]:
        """How many sessions, windows and keys are known."""
        return self._file.write(
            lambda transaction: {
                "sessions": self._sessions.count(transaction),
                "windows": self._windows.count(transaction),
                "keys": self._keys.count(transaction),
            }
        )

    def _tables(self, transaction: Transaction) -> "_Tables":
        return _Tables(transaction, self._sessions, self._windows, self._keys, self._secret)


class _Tables:
    """The rules' tables within one transaction."""

    __slots__ = ("_keys", "_secret", "_sessions", "_transaction", "_windows")

    def __init__(
        self, transaction: Transaction, sessions: AgedTable, windows: AgedTable, keys: AgedTable, secret: bytes
    ) -> None:
        self._transaction = transaction
        self._sessions = sessions
        self._windows = windows
        self._keys = keys
        self._secret = secret

    def session(self, key: str) -> Session | None:
        session = self._at(self._place(key))
        return session if session is not None and session.key == key else None

    def keep(self, session: Session) -> None:
        self._sessions.put(self._transaction, self._place(session.key), _encode(session), session.last_ns)

    def latest(self, window_key: str) -> Latest | None:
        found = self._windows.get(self._transaction, self._place(window_key))
        if found is None:
            return None
        at_ns, value = found
        history_ns = int.from_bytes(value[:_TIME_BYTES], "big")
        return Latest(value[_TIME_BYTES:].decode(), at_ns, history_ns or None)

    def keep_latest(self, window_key: str, latest: Latest) -> None:
        value = max(latest.history_ns or 0, 0).to_bytes(_TIME_BYTES, "big") + latest.session_id.encode()
        self._windows.put(self._transaction, self._place(window_key), value, max(latest.at_ns, 0))

    def turn(self, digest: bytes) -> Turn | None:
        found = self._keys.get(self._transaction, digest[:KEY_BYTES])
        if found is None:
            return None
        learnt_ns, value = found
        ordinal, place = _TURN.unpack_from(value)
        session = self._at(place)
        if session is None:
            return None
        return Turn(session, _unpacked(value[_TURN.size :]), ordinal % _PASSING, ordinal >= _PASSING, learnt_ns)

    def keep_turn(self, digest: bytes, turn: Turn) -> None:
        ordinal = turn.ordinal + (_PASSING if turn.passing else 0)
        value = _TURN.pack(ordinal, self._place(turn.session.key)) + _packed(turn.exchange)
        self._keys.put(self._transaction, digest[:KEY_BYTES], value, turn.learnt_ns)

    def drop_turn(self, digest: bytes) -> None:
        self._keys.delete(self._transaction, digest[:KEY_BYTES])

    def _at(self, place: bytes) -> Session | None:
        found = self._sessions.get(self._transaction, place)
        return None if found is None else _decode(found[1])

    def _place(self, key: str) -> bytes:
        """SECURITY: keyed, so that nobody can make ids that meet in one place."""
        return blake2b(key.encode(), digest_size=KEY_BYTES, key=self._secret).digest()


def _packed(exchange_id: str) -> bytes:
    if len(exchange_id) == _HEX_CHARACTERS:
        try:
            packed = bytes.fromhex(exchange_id)
        except ValueError:
            packed = b""
        if packed.hex() == exchange_id:
            return _HEX_ID + packed
    return _OTHER_ID + exchange_id.encode()


def _unpacked(exchange: bytes) -> str:
    return exchange[1:].hex() if exchange[:1] == _HEX_ID else exchange[1:].decode()
