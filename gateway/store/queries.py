"""What the console, the API and the command line ask the store. Read-only connections; every answer is bounded."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

from gateway.link.records import DIGEST_BYTES
from gateway.model.verdict import Assessment
from gateway.store.cursors import SessionCursor, TurnCursor
from gateway.store.found import (
    ExchangeRow,
    MessageRow,
    SessionPage,
    SessionRow,
    Turn,
    TurnPage,
    digests_of,
)
from gateway.store.life import closed_by
from gateway.store.tables import MIGRATIONS, UnusableDatabaseError, check_version

MAX_PAGE = 200
_PAGE_CONTENT_BYTES = 8 * 1024 * 1024
"""A page ends early where the messages on it get larger than this, each counted as often as it stands there."""
_TRACE_CONTENT_BYTES = 4 * _PAGE_CONTENT_BYTES
_TURN_MESSAGES, _TRACE_MESSAGES = 500, 20_000
"""At most so many of a request are given, the latest; of an answer, the first."""
_MESSAGE_OVERHEAD = 256
"""What a message takes on a page beside its content."""
_MAX_VARIABLES = 500
_FOLLOWERS = 20
_Row = TypeVar("_Row")


class Reader:
    """A small pool of read-only connections; may be used from several threads."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Raises FileNotFoundError, UnusableDatabaseError."""
        self._path = path
        self._clock = clock
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        with self._connection():
            pass

    def close(self) -> None:
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def sessions(self, limit: int = 50, before: SessionCursor | None = None) -> SessionPage:
        """Newest activity first."""
        limit = _bounded(limit)
        with self._connection() as connection:
            where, values = ("WHERE (last_ns, n) < (?, ?)", (before.last_ns, before.n)) if before else ("", ())
            found = self._sessions(
                connection, f"sessions {where} ORDER BY last_ns DESC, n DESC LIMIT ?", (*values, limit + 1)
            )
        page = found[:limit]
        return SessionPage(page, SessionCursor(page[-1].last_ns, page[-1].n) if len(found) > limit else None)

    def session(self, session_id: str, workspace: str | None = None) -> SessionRow | None:
        """By id; where workspaces share an id and none is named, the one with the latest activity."""
        with self._connection() as connection:
            found = self._sessions(
                connection,
                "sessions WHERE id = ? AND workspace = coalesce(?, workspace) ORDER BY last_ns DESC LIMIT 1",
                (session_id, workspace),
            )
        return found[0] if found else None

    def _sessions(self, connection: sqlite3.Connection, rest: str, values: Sequence[object]) -> list[SessionRow]:
        sessions = _read(connection, SessionRow, rest, values)
        (close_after_ns,) = connection.execute("SELECT close_after_ns FROM rules").fetchone()
        now_ns = int(self._clock() * 1e9)
        return [
            replace(
                session,
                closed_by=closed_by(bool(session.ended), session.last_input_ns, now_ns, close_after_ns),
                continued_by=_followers(connection, session),
            )
            for session in sessions
        ]

    def turns(self, session: SessionRow, limit: int = 50, after: TurnCursor | None = None) -> TurnPage:
        """A session's exchanges in the order of their inputs, each with what it added."""
        limit = _bounded(limit)
        with self._connection() as connection:
            place = (after.sequence, after.started_ns, after.n) if after else (-1, 0, 0)
            exchanges = _read(
                connection,
                ExchangeRow,
                "exchanges WHERE session_id = ? AND workspace = ? AND (session_sequence, started_ns, n) > (?, ?, ?)"
                " ORDER BY session_sequence, started_ns, n LIMIT ?",
                (session.id, session.workspace, *place, limit + 1),
            )
            return _turns_of(connection, exchanges, limit)

    def turn(self, exchange_id: str) -> Turn | None:
        """One exchange with all its inputs."""
        with self._connection() as connection:
            found = _read(connection, ExchangeRow, "exchanges WHERE id = ?", (exchange_id,))
            if not found:
                return None
            exchange = found[0]
            said = _assessments(connection, [exchange.id]).get(exchange.id, [])
            turn, _ = _turn(connection, exchange, said, 0, _TRACE_MESSAGES, _TRACE_CONTENT_BYTES)
            return turn

    def newest(self) -> int:
        """The latest exchange's number, 0 where there is none: where a tail begins."""
        with self._connection() as connection:
            return int(connection.execute("SELECT coalesce(max(n), 0) FROM exchanges").fetchone()[0])

    def since(self, after: int, limit: int = MAX_PAGE) -> list[ExchangeRow]:
        """Exchanges stored after number `after`, in the order they were stored."""
        with self._connection() as connection:
            return _read(connection, ExchangeRow, "exchanges WHERE n > ? ORDER BY n LIMIT ?", (after, _bounded(limit)))

    def before(self, started_ns: int) -> int:
        """The number ahead of the first exchange stored that began at this time or later; Unix time."""
        with self._connection() as connection:
            found = connection.execute("SELECT min(n) FROM exchanges WHERE started_ns >= ?", (started_ns,)).fetchone()
        return int(found[0]) - 1 if found[0] is not None else self.newest()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = _connect(self._path)
        try:
            yield connection
        finally:
            self._idle.put(connection)


def _connect(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise FileNotFoundError(f"no database at {path}")
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0, isolation_level=None, check_same_thread=False
    )
    try:
        if check_version(connection, str(path)) < len(MIGRATIONS):
            raise UnusableDatabaseError(
                f"{path} is older than this spangate; start the gateway once to bring it up to date"
            )
    except sqlite3.DatabaseError as error:
        connection.close()
        raise UnusableDatabaseError(f"{path} cannot be read: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))


def _read(connection: sqlite3.Connection, row: type[_Row], rest: str, values: Sequence[object]) -> list[_Row]:
    """Rows of a dataclass whose fields are the table's columns, but for those with a default."""
    columns = ", ".join(field.name for field in fields(row) if field.default is MISSING)  # type: ignore[arg-type]
    return [row(*found) for found in connection.execute(f"SELECT {columns} FROM {rest}", values)]  # noqa: S608 ours


def _followers(connection: sqlite3.Connection, session: SessionRow) -> tuple[str, ...]:
    """The first sessions that continue this one."""
    ids = connection.execute(
        "SELECT id FROM sessions WHERE previous_id = ? AND workspace = ? ORDER BY first_ns, id LIMIT ?",
        (session.id, session.workspace, _FOLLOWERS),
    )
    return tuple([session_id for (session_id,) in ids])


def _turns_of(connection: sqlite3.Connection, exchanges: list[ExchangeRow], limit: int) -> TurnPage:
    """Turns until the limit, or until their messages outweigh a page."""
    assessments = _assessments(connection, [exchange.id for exchange in exchanges])
    turns: list[Turn] = []
    left = _PAGE_CONTENT_BYTES
    for exchange in exchanges[:limit]:
        said = assessments.get(exchange.id, [])
        turn, weight = _turn(connection, exchange, said, exchange.new_from, _TURN_MESSAGES, _PAGE_CONTENT_BYTES)
        left -= weight
        if turns and left < 0:
            break
        turns.append(turn)
    if len(turns) == len(exchanges):
        return TurnPage(turns, None)
    last = turns[-1].exchange
    return TurnPage(turns, TurnCursor(last.session_sequence, last.started_ns, last.n))


def _turn(
    connection: sqlite3.Connection,
    exchange: ExchangeRow,
    said: list[Assessment],
    new_from: int,
    count: int,
    content_bytes: int,
) -> tuple[Turn, int]:
    """The turn with at most so many messages and so much content, and what it weighs on a page."""
    joined = exchange.input_digests[new_from * DIGEST_BYTES :]
    wanted = digests_of(joined[-count * DIGEST_BYTES :])
    outputs = digests_of(exchange.output_digests[: count * DIGEST_BYTES])
    messages = _messages(connection, [*dict.fromkeys(wanted + outputs)])
    weights = {digest: len(message.json) for digest, message in messages.items()}
    outputs, heavy = _first(outputs, weights, content_bytes)
    # The latest first: what an agent or a person asks stands at the end.
    latest, weight = _first(wanted[::-1], weights, max(0, content_bytes - heavy))
    inputs = [messages.get(digest) for digest in reversed(latest)]
    omitted = len(joined) // DIGEST_BYTES - len(inputs)
    return Turn(exchange, inputs, [messages.get(digest) for digest in outputs], said, omitted), heavy + weight


def _first(digests: Sequence[bytes], weights: Mapping[bytes, int], limit: int) -> tuple[list[bytes], int]:
    """As many as weigh less than the limit together, the first in any case; each weighs as often as it comes."""
    weight = 0
    for number, digest in enumerate(digests):
        more = weights.get(digest, 0) + _MESSAGE_OVERHEAD
        if number and weight + more > limit:
            return [*digests[:number]], weight
        weight += more
    return [*digests], weight


def _messages(connection: sqlite3.Connection, digests: Sequence[bytes]) -> dict[bytes, MessageRow]:
    found: dict[bytes, MessageRow] = {}
    for start in range(0, len(digests), _MAX_VARIABLES):
        part = digests[start : start + _MAX_VARIABLES]
        marks = ", ".join("?" * len(part))
        for message in _read(connection, MessageRow, f"messages WHERE digest IN ({marks})", part):
            found[message.digest] = message
    return found


def _assessments(connection: sqlite3.Connection, exchange_ids: Sequence[str]) -> dict[str, list[Assessment]]:
    found: dict[str, list[Assessment]] = {}
    marks = ", ".join("?" * len(exchange_ids))
    columns = ", ".join(Assessment.__struct_fields__)  # those that are lists stand last
    for exchange_id, *said, categories, tags in connection.execute(
        f"SELECT exchange_id, {columns} FROM assessments WHERE exchange_id IN ({marks})"  # noqa: S608 ours
        " ORDER BY exchange_id, position",
        exchange_ids,
    ):
        fields = [*said, _lines(categories), _lines(tags)]
        found.setdefault(exchange_id, []).append(Assessment(*fields))
    return found


def _lines(joined: str) -> tuple[str, ...]:
    return tuple(joined.split("\n")) if joined else ()
