"""A tail shows what was stored, goes on with what comes, and stops when it is told to."""

import io
from contextlib import closing
from pathlib import Path

import pytest

from gateway.commands.printing import Printer
from gateway.commands.tail import line_of, tail
from gateway.store import rows
from gateway.store.queries import Reader
from gateway.store.sqlite import connect_writer
from tests.link.fakes import a_record


def test_once_prints_what_is_there_and_ends(path: Path, out: io.StringIO) -> None:
    assert tail(path, out, once=True) == 0
    assert len(out.getvalue().splitlines()) == 3


@pytest.mark.parametrize(
    ("session", "outcome", "lines"), [("s1", None, 2), (None, "flagged", 1), ("none", None, 0), ("s1", "blocked", 0)]
)
def test_filters_leave_out_the_rest(
    path: Path, out: io.StringIO, session: str | None, outcome: str | None, lines: int
) -> None:
    tail(path, out, session=session, outcome=outcome, once=True)
    assert len(out.getvalue().splitlines()) == lines


def test_what_is_stored_later_follows_until_ctrl_c(path: Path, out: io.StringIO) -> None:
    waits = 0

    def wait(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            raise KeyboardInterrupt
        with closing(connect_writer(path)) as connection:
            connection.execute("BEGIN")
            rows.insert(connection, [a_record(f"later-{waits}", session_id=f"later-{waits}")], day=1)
            connection.execute("COMMIT")

    assert tail(path, out, wait=wait) == 0
    shown = out.getvalue().splitlines()
    assert len(shown) == 5
    assert "later-1" in shown[3]
    assert "later-2" in shown[4]


def test_colours_are_for_people_only(path: Path) -> None:
    with closing(Reader(path)) as reader:
        row = reader.since(0)[1]
    assert "\x1b[33m" in line_of(row, Printer(io.StringIO(), colours=True))
    assert "\x1b" not in line_of(row, Printer(io.StringIO()))
