"""Takes one session out of the store, and the messages that nobody else has. For a command of its own process."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gateway.store.found import SessionRow, digests_of
from gateway.store.sqlite import connect_writer

PATIENCE_S = 30.0
"""The gateway's writer holds its lock for a batch at a time."""
_ATTEMPTS = 10
_ITS_OWN = "session_id = :session AND workspace = :workspace"


class SessionInUseError(Exception):
    """New exchanges of the session came again and again while it was to be deleted."""

    def __init__(self) -> None:
        super().__init__("the session is in use, so that more of it came while it was being deleted; try again later")


@dataclass(slots=True, frozen=True)
class Deleted:
    exchanges: int
    messages: int


def delete_session(
    path: Path,
    session: SessionRow,
    connect: Callable[[Path], sqlite3.Connection] = connect_writer,
    patience_s: float = PATIENCE_S,
) -> Deleted:
    """What is stored of it; what still runs, or is on its way, begins it anew.

    Raises SessionInUseError, or sqlite3.Error where the database cannot be written.
    """
    with closing(connect(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {round(patience_s * 1000)}")
        # SECURITY: what somebody wants gone must not stay readable in free pages of the file.
        connection.execute("PRAGMA secure_delete = ON")
        deleted = _deleted(connection, {"session": session.id, "workspace": session.workspace})
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return deleted


def _deleted(connection: sqlite3.Connection, whose: Mapping[str, str]) -> Deleted:
    """Whose messages they are is found out before the lock, as that takes long where there is much."""
    for _ in range(_ATTEMPTS):
        (newest,) = connection.execute("SELECT coalesce(max(n), 0) FROM exchanges").fetchone()
        own = _digests(connection, _ITS_OWN, whose)
        own -= _among(own, connection, f"NOT ({_ITS_OWN})", whose)
        connection.execute("BEGIN IMMEDIATE")
        try:
            since = {**whose, "newest": newest}
            more = connection.execute(f"SELECT 1 FROM exchanges WHERE {_ITS_OWN} AND n > :newest", since).fetchone()  # noqa: S608 ours
            if more is None:
                own -= _among(own, connection, "n > :newest", since)
                deleted = _delete(connection, whose, own)
                connection.execute("COMMIT")
                return deleted
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("ROLLBACK")
    raise SessionInUseError


def _delete(connection: sqlite3.Connection, whose: Mapping[str, str], messages: set[bytes]) -> Deleted:
    connection.execute(
        f"DELETE FROM assessments WHERE exchange_id IN (SELECT id FROM exchanges WHERE {_ITS_OWN})",  # noqa: S608 ours
        whose,
    )
    connection.execute("DELETE FROM reviews WHERE session_id = :session AND workspace = :workspace", whose)
    exchanges = connection.execute(f"DELETE FROM exchanges WHERE {_ITS_OWN}", whose).rowcount  # noqa: S608 ours
    connection.execute("DELETE FROM sessions WHERE id = :session AND workspace = :workspace", whose)
    gone = connection.executemany("DELETE FROM messages WHERE digest = ?", [(digest,) for digest in messages]).rowcount
    return Deleted(exchanges, max(0, gone))


def _digests(connection: sqlite3.Connection, where: str, values: Mapping[str, str | int]) -> set[bytes]:
    """Of the messages that these exchanges have."""
    found: set[bytes] = set()
    for joined in connection.execute(f"SELECT input_digests, output_digests FROM exchanges WHERE {where}", values):  # noqa: S608 ours
        found.update(*map(digests_of, joined))
    return found


def _among(
    wanted: set[bytes], connection: sqlite3.Connection, where: str, values: Mapping[str, str | int]
) -> set[bytes]:
    """Those that these exchanges have too."""
    found: set[bytes] = set()
    for joined in connection.execute(f"SELECT input_digests, output_digests FROM exchanges WHERE {where}", values):  # noqa: S608 ours
        for digests in map(digests_of, joined):
            found.update(wanted.intersection(digests))
    return found
