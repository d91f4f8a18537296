"""The writer stores what it says it stored, through locks and full disks, and forgets what is too old."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.store import rows
from gateway.store.queries import Reader
from gateway.store.sqlite import StoreWriter, connect_writer
from gateway.store.tables import UnusableDatabaseError
from tests.link.fakes import a_message, a_record

_DAY_NS = 86_400 * 10**9


class _Failing:
    """A database that, during an outage, can neither be used nor opened."""

    def __init__(self) -> None:
        self.outage = threading.Event()
        self.opened = 0

    def connect(self, path: Path) -> sqlite3.Connection:
        if self.outage.is_set():
            raise sqlite3.OperationalError("disk I/O error")
        self.opened += 1
        connection = connect_writer(path)
        connection.set_progress_handler(self._interrupt, 1)
        return connection

    def _interrupt(self) -> int:
        return int(self.outage.is_set())


@contextmanager
def _writing(
    path: Path,
    clock: Callable[[], float] = lambda: 1.0,
    connect: Callable[[Path], sqlite3.Connection] = connect_writer,
    patience_s: float = 10,
) -> Iterator[StoreWriter]:
    writer = StoreWriter(path, 30 * 86400, clock, connect)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop(patience_s)


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
            _until_troubled(writer, done)
            assert "locked" in _trouble(writer)
            other.execute("ROLLBACK")
        assert done.wait(10)
        assert _trouble(writer) == ""
        assert writer.counters()["retried"] >= 1
    assert _ids(path) == ["a"]


def test_a_full_disk_leaves_the_batch_unacknowledged_until_there_is_room(path: Path) -> None:
    connect_writer(path).close()
    room = [_pages(path) + 1]
    done = threading.Event()

    def connect(path: Path) -> sqlite3.Connection:
        connection = connect_writer(path)
        connection.execute(f"PRAGMA max_page_count = {room[0]}")
        return connection

    with _writing(path, connect=connect) as writer:
        writer.submit([a_record("a", messages=(a_message("x" * 100_000),))], done.set)
        _until_troubled(writer, done)
        assert "full" in _trouble(writer)
        room[0] = 100_000
        assert done.wait(10)
        assert _trouble(writer) == ""
    assert _ids(path) == ["a"]


def test_a_database_that_fails_for_a_while_is_opened_again_and_nothing_is_lost(path: Path) -> None:
    database = _Failing()
    done = threading.Event()
    with _writing(path, connect=database.connect) as writer:
        writer.submit([a_record("before")], lambda: None)
        database.outage.set()
        writer.submit([a_record("during")], done.set)
        while "disk I/O error" not in _trouble(writer):  # it has tried to open it again
            assert not done.wait(0.01)
        database.outage.clear()
        assert done.wait(10)
        assert (_trouble(writer), writer.counters()["dropped"]) == ("", 0)
    assert database.opened == 2
    assert _ids(path) == ["before", "during"]


def test_stopping_in_an_outage_ends_and_acknowledges_nothing(path: Path) -> None:
    database = _Failing()
    done = threading.Event()
    with _writing(path, connect=database.connect, patience_s=0.01) as writer:
        database.outage.set()
        writer.submit([a_record("a")], done.set)
        _until_troubled(writer, done)
    assert not done.is_set()
    assert _ids(path) == []


def test_a_record_that_breaks_the_writer_is_dropped_and_the_others_are_stored(path: Path) -> None:
    done = threading.Event()
    with _writing(path) as writer:
        writer.submit([a_record("a"), a_record("b", messages=(None,)), a_record("c")], done.set)
        assert done.wait(10)
        assert writer.counters()["dropped"] == 1
        assert writer.counters()["retried"] > 0
        assert _trouble(writer) == ""
    assert _ids(path) == ["a", "c"]


def test_a_mistake_that_passes_drops_nothing(path: Path) -> None:
    done = threading.Event()
    failing = [ZeroDivisionError("the secret text"), ZeroDivisionError("the secret text")]

    def clock() -> float:
        if failing:
            raise failing.pop()
        return 1.0

    with _writing(path, clock=clock) as writer:
        writer.submit([a_record("a")], done.set)
        assert done.wait(10)
        assert (writer.counters()["dropped"], writer.counters()["retried"]) == (0, 2)
    assert _ids(path) == ["a"]


def test_the_trouble_of_a_mistake_names_no_content(path: Path) -> None:
    done = threading.Event()

    def clock() -> float:
        raise KeyError("the secret text")

    with _writing(path, clock=clock) as writer:
        writer.submit([a_record("a")], done.set)
        assert done.wait(10)
        assert _trouble(writer) == f"{path}: the writer failed (KeyError)"


def test_a_sender_that_is_gone_does_not_stop_the_writer(path: Path) -> None:
    done = threading.Event()

    def gone() -> None:
        raise RuntimeError("its loop is closed")

    with _writing(path) as writer:
        writer.submit([a_record("a")], gone)
        writer.submit([a_record("b")], done.set)
        assert done.wait(10)
        assert writer.counters()["unheard"] == 1
    assert _ids(path) == ["a", "b"]


def test_a_record_that_cannot_be_stored_does_not_hold_up_the_others(path: Path) -> None:
    done = threading.Event()
    with _writing(path) as writer:
        writer.submit([a_record("a"), a_record("b", input_tokens=2**64 - 1), a_record("c")], done.set)
        assert done.wait(10)
        assert writer.counters()["dropped"] == 1
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
    with _writing(path) as writer:
        writer.submit([a_record("old", ended_ns=0)], lambda: None)
    with _writing(path, clock=lambda: 31 * 86400.0) as writer:
        while writer.counters()["pruned"] < 2:
            writer.submit([], lambda: None)
    assert _ids(path) == []


def _until_troubled(writer: StoreWriter, done: threading.Event) -> None:
    while not _trouble(writer):
        assert not done.wait(0.01)


def _pages(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA page_count").fetchone()[0])


def _trouble(writer: StoreWriter) -> str:
    return writer.trouble or ""


def _ids(path: Path) -> list[str]:
    reader = Reader(path)
    try:
        return [row.id for row in reader.since(0)]
    finally:
        reader.close()
