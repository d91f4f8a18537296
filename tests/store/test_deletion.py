"""A session that is deleted leaves nothing that is only its own, and takes nothing that is not."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gateway.link.records import MessageRecord
from gateway.model.review import Review
from gateway.store import reviews
from gateway.store.deletion import Deleted, SessionInUseError, delete_session
from gateway.store.found import SessionRow
from gateway.store.queries import Reader
from tests.link.fakes import a_message, a_record
from tests.store.conftest import Put

SECRET, SHARED, OTHER = a_message("the nightjar flies at dawn"), a_message("You are helpful."), a_message("other")


@pytest.fixture
def session(put: Put, reader: Reader) -> SessionRow:
    put([a_record("a", session_id="gone", input_digests=_joined(SHARED, SECRET), messages=(SHARED, SECRET))])
    put([a_record("b", session_id="gone", input_digests=_joined(SECRET), output_digests=_joined(OTHER), messages=())])
    put([a_record("c", session_id="stays", input_digests=_joined(SHARED), messages=(OTHER,))])
    put([a_record("d", session_id="gone", workspace="other", output_digests=_joined(OTHER), messages=())])
    return _session(reader, "gone", "default")


def test_only_its_own_goes(path: Path, session: SessionRow, reader: Reader) -> None:
    for name, where, workspace in (("r", "gone", "default"), ("s", "gone", "other"), ("t", "stays", "default")):
        reviews.add(path, Review(name, "x", where, workspace, "keeper", "inlet", "codenames", "low", 1, 2, "block"))
    assert delete_session(path, session) == Deleted(exchanges=2, messages=1)
    assert reader.session("gone", "default") is None
    assert _session(reader, "gone", "other").exchanges == 1
    assert {row.id for row in reader.since(0)} == {"c", "d"}
    with closing(sqlite3.connect(path)) as connection:
        assert {row[0] for row in connection.execute("SELECT digest FROM messages")} == {SHARED.digest, OTHER.digest}
        assert {row[0] for row in connection.execute("SELECT exchange_id FROM assessments")} == {"c", "d"}
        assert {row[0] for row in connection.execute("SELECT id FROM reviews")} == {"s", "t"}


def test_nobody_reads_it_in_the_files_afterwards(path: Path, session: SessionRow, reader: Reader) -> None:
    reader.close()
    files = [path, path.with_name(path.name + "-wal")]
    assert any(b"nightjar" in file.read_bytes() for file in files)
    delete_session(path, session)
    assert not any(b"nightjar" in file.read_bytes() for file in files)


class Interrupted(sqlite3.Connection):
    """Somebody else writes first, each time."""

    first: Callable[[], None]

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "BEGIN IMMEDIATE":
            self.first()
        return super().execute(sql, *values)


def interrupted(first: Callable[[], None]) -> Callable[[Path], sqlite3.Connection]:
    def connect(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, factory=Interrupted)
        connection.first = first
        return connection

    return connect


def test_what_comes_while_it_is_deleted_is_no_half_session(
    path: Path, session: SessionRow, put: Put, reader: Reader
) -> None:
    arriving = [
        a_record("late 1", session_id="gone", messages=()),
        a_record("late 2", session_id="late too", input_digests=_joined(SECRET), messages=()),
    ]
    deleted = delete_session(path, session, interrupted(lambda: put([arriving.pop(0)]) if arriving else None))
    assert deleted == Deleted(exchanges=3, messages=0), "the one message is somebody else's too by now"
    assert reader.session("gone", "default") is None
    assert _session(reader, "late too", "default").exchanges == 1


def test_a_session_that_goes_on_and_on_is_left_whole(path: Path, session: SessionRow, put: Put, reader: Reader) -> None:
    numbers = count()
    with pytest.raises(SessionInUseError, match="try again"):
        delete_session(path, session, interrupted(lambda: put([a_record(f"late {next(numbers)}", session_id="gone")])))
    assert _session(reader, "gone", "default").exchanges == 2 + next(numbers)


def _joined(*messages: MessageRecord) -> bytes:
    return b"".join([message.digest for message in messages])


def _session(reader: Reader, session_id: str, workspace: str) -> SessionRow:
    session = reader.session(session_id, workspace)
    assert session is not None
    return session
