"""The writer stores what it says it stored, through locks and full disks, and forgets what is too old."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.store import rows
from gateway.store.queries import Reader
from gateway.store.sqlite import StoreWriter, connect_writer
from gateway.store.tables import UnusableDatabaseError
from tests.link.fakes import a_message, a_record

_DAY_NS = 86_400 * 10**9


@contextmanager
def _writing(path: Path, now_s: float = 1.0) -> Iterator[StoreWriter]:
    writer = StoreWriter(path, retention_s=30 * 86400, clock=lambda: now_s)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop(10)


def test_stored_is_said_after_the_commit(path: Path) -> None:
    seen: list[list[str]] = []
    done = threading.Event()

    def stored() -> None:
        reader = Reader(path)
        seen.append([row.id for row in reader.since(0)])
        reader.close()
        done.set()

    with _writing(path) as writer:
        writer.submit([a_record("a"), a_record("b")], stored)
        assert done.wait(10)
    assert seen == [["a", "b"]]


def test_stopping_stores_what_is_queued(path: Path) -> None:
    acknowledged: list[int] = []
    with _writing(path) as writer:
        for number in range(30):
            writer.submit([a_record(str(number))], lambda number=number: acknowledged.append(number))  # type: ignore[misc]
    assert acknowledged == list(range(30))
    assert len(_ids(path)) == 30


def test_a_locked_database_delays_but_loses_nothing(path: Path) -> None:
    done = threading.Event()
    with _writing(path) as writer:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.submit([a_record("a")], done.set)
            while not _trouble(writer):
                assert not done.wait(0.01)
            assert "locked" in _trouble(writer)
            other.execute("ROLLBACK")
        assert done.wait(10)
        assert _trouble(writer) == ""
        assert writer.counters()["retried"] >= 1
    assert _ids(path) == ["a"]


def test_a_full_disk_leaves_the_batch_unacknowledged_until_there_is_room(path: Path) -> None:
    connection = connect_writer(path)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    writer = StoreWriter(path, 1.0)
    big = [a_record("a", messages=(a_message("x" * 100_000),))]
    writer._stopping.set()  # so that the first failure returns instead of waiting
    assert not writer._until_done(connection, big)
    assert "full" in _trouble(writer)
    connection.execute("PRAGMA max_page_count = 100000")
    assert writer._until_done(connection, big)
    assert _trouble(writer) == ""
    connection.close()
    assert _ids(path) == ["a"]


def test_a_record_that_cannot_be_stored_does_not_hold_up_the_others(path: Path) -> None:
    done = threading.Event()
    with _writing(path) as writer:
        writer.submit([a_record("a"), a_record("b", input_tokens=2**64 - 1), a_record("c")], done.set)
        assert done.wait(10)
        assert writer.counters()["rejected"] == 1
    assert _ids(path) == ["a", "c"]


def test_starting_on_an_unusable_database_fails_at_once(path: Path) -> None:
    connect_writer(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UnusableDatabaseError):
        StoreWriter(path, 1.0).start()


def test_what_is_older_than_the_retention_goes_in_small_steps(path: Path) -> None:
    connection = connect_writer(path)
    old, young = a_message("old"), a_message("young")
    with connection:
        connection.execute("BEGIN")
        records = [a_record(str(n), session_id=f"s{n}", ended_ns=n * _DAY_NS, messages=(old,)) for n in range(10)]
        rows.insert(connection, records, day=5)
        rows.insert(connection, [a_record("10", session_id="s10", ended_ns=10 * _DAY_NS, messages=(young,))], day=10)
    steps = 0
    while rows.prune(connection, before_ns=8 * _DAY_NS, step=3):
        steps += 1
    assert steps == 3
    assert _ids(path) == ["8", "9", "10"]
    left = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in _TABLES}
    assert left == {"sessions": 3, "assessments": 3, "messages": 1}
    connection.close()


_TABLES = ("sessions", "assessments", "messages")


def test_the_writer_prunes_by_itself(path: Path) -> None:
    with _writing(path, now_s=1.0) as writer:
        writer.submit([a_record("old", ended_ns=0)], lambda: None)
    with _writing(path, now_s=31 * 86400.0) as writer:
        while writer.counters()["pruned"] < 2:
            writer.submit([], lambda: None)
    assert _ids(path) == []


def _trouble(writer: StoreWriter) -> str:
    return writer.trouble or ""


def _ids(path: Path) -> list[str]:
    reader = Reader(path)
    try:
        return [row.id for row in reader.since(0)]
    finally:
        reader.close()
