"""The sweeper marks the sessions that readers call closed, by the same rule, whatever the clock does."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store import rows
from gateway.store.found import SessionRow
from gateway.store.queries import Reader
from gateway.store.sqlite import StoreWriter, connect_writer
from tests.link.fakes import a_record
from tests.store.conftest import Put

_DAY_S = 86400
_START_S = 1_790_000_000
_START_NS = _START_S * 10**9


class Clock:
    """Seconds since `_START_S`, as the test says."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return _START_S + self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(put: Put, path: Path, clock: Clock) -> Iterator[Reader]:
    reader = Reader(path, clock)
    yield reader
    reader.close()


def session_of(reader: Reader, session_id: str = "s1") -> SessionRow:
    session = reader.session(session_id)
    assert session is not None
    return session


def sweep(path: Path, now_s: float, step: int = 100) -> int:
    with closing(connect_writer(path)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        return rows.close_idle(connection, int((_START_S + now_s) * 10**9), step)


def marked(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [found for (found,) in connection.execute("SELECT id FROM sessions WHERE closed ORDER BY id")]


@pytest.mark.parametrize(("idle_s", "lifecycle"), [(_DAY_S, "open"), (_DAY_S + 0.001, "closed"), (-3600, "open")])
def test_reader_and_sweeper_agree(
    put: Put, reader: Reader, path: Path, clock: Clock, idle_s: float, lifecycle: str
) -> None:
    put([a_record("a", started_ns=_START_NS, ended_ns=_START_NS + 10**9)])
    clock.now_s = idle_s
    assert session_of(reader).lifecycle == lifecycle
    assert sweep(path, idle_s) == (lifecycle == "closed")
    assert (marked(path) == ["s1"]) == (lifecycle == "closed")


def test_the_day_is_counted_from_the_latest_input_not_from_its_end(
    put: Put, reader: Reader, path: Path, clock: Clock
) -> None:
    hour_ns = 3600 * 10**9
    put([a_record("a", started_ns=_START_NS, ended_ns=_START_NS + 2 * hour_ns)])
    clock.now_s = _DAY_S + 3600
    assert session_of(reader).closed_by == "idle"
    put([a_record("b", started_ns=_START_NS + hour_ns, ended_ns=_START_NS + hour_ns)])
    assert session_of(reader).closed_by is None


def test_an_ended_session_stays_closed_whatever_was_still_running(put: Put, reader: Reader, path: Path) -> None:
    put([a_record("last", session_sequence=2, started_ns=_START_NS, session_end=True)])
    put([a_record("running", session_sequence=1, started_ns=_START_NS - 5, ended_ns=_START_NS + 10**9)])
    session = session_of(reader)
    assert (session.lifecycle, session.closed_by, session.exchanges) == ("closed", "end", 2)
    assert marked(path) == ["s1"]


def test_what_arrives_late_opens_what_was_swept_too_early(put: Put, reader: Reader, path: Path, clock: Clock) -> None:
    put([a_record("a", started_ns=_START_NS)])
    clock.now_s = _DAY_S + 60
    assert sweep(path, clock.now_s) == 1
    put([a_record("late", started_ns=_START_NS + 60 * 10**9)])
    assert session_of(reader).lifecycle == "open"
    assert marked(path) == []
    put([a_record("later still, and older", started_ns=_START_NS - 10**9)])
    assert sweep(path, clock.now_s) == 0
    clock.now_s += 0.001
    assert sweep(path, clock.now_s) == 1


def test_sweeping_goes_in_small_steps_and_looks_at_open_sessions_only(put: Put, path: Path) -> None:
    put([a_record(str(n), session_id=f"s{n}", started_ns=_START_NS + n) for n in range(7)])
    assert [sweep(path, 2 * _DAY_S, step=3) for _ in range(4)] == [3, 3, 1, 0]
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {rows._CLOSE_IDLE}", (1, 1)).fetchall()
    assert any("sessions_open" in str(step) for step in plan)


@pytest.mark.parametrize("before_s", [3600.0, 7199.0, 7200.0, 2.0 * _DAY_S])
@pytest.mark.parametrize(("close_after_s", "lifecycle"), [(7199.0, "closed"), (7200.0, "open")])
def test_the_writer_closes_by_its_own_rule_and_tells_readers(
    put: Put, reader: Reader, path: Path, clock: Clock, before_s: float, close_after_s: float, lifecycle: str
) -> None:
    put([a_record("a", started_ns=_START_NS, ended_ns=_START_NS)])
    clock.now_s = 7200
    for rule_s in (before_s, close_after_s):
        writer = StoreWriter(path, 30 * _DAY_S, clock, close_after_s=rule_s)
        writer.start()
        expected = rule_s < 7200
        deadline_s = time.monotonic() + 60
        while (rule(path), marked(path)) != (round(rule_s * 1e9), ["s1"] * expected):
            assert time.monotonic() < deadline_s
        writer.stop(60)
    assert session_of(reader).lifecycle == lifecycle


def rule(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT close_after_ns FROM rules").fetchone()[0])


def test_a_continued_session_and_the_one_it_continues_know_of_each_other(put: Put, reader: Reader) -> None:
    put(
        [
            a_record("c", session_id="talk~3", previous_session="talk~2", started_ns=30),
            a_record("b", session_id="talk~2", previous_session="talk", started_ns=20, session_end=True),
            a_record("a", session_id="talk", started_ns=10, session_end=True),
            a_record("x", session_id="fork", previous_session="talk", started_ns=40),
            a_record("y", session_id="elsewhere", previous_session="talk", workspace="other"),
        ]
    )
    links = {session.id: (session.previous_id, session.continued_by) for session in reader.sessions().sessions}
    assert links == {
        "talk": (None, ("talk~2", "fork")),
        "talk~2": ("talk", ("talk~3",)),
        "talk~3": ("talk~2", ()),
        "fork": ("talk", ()),
        "elsewhere": ("talk", ()),
    }


def test_who_was_refused_at_a_closed_session_continues_nothing(put: Put, reader: Reader) -> None:
    put([a_record("a", session_id="talk", session_end=True)])
    put([a_record("b", session_id="s-1", previous_session="talk", refusal_code="session_closed", status=410)])
    assert session_of(reader, "talk").continued_by == ()
    assert session_of(reader, "s-1").previous_id is None
