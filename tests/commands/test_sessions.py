"""Sessions on a terminal and for scripts."""

import csv
import io
import json
from pathlib import Path

import pytest

from gateway.commands.sessions import Form, list_sessions, show_session
from gateway.commands.tail import tail
from gateway.store.sqlite import connect_writer


def test_a_table_lists_the_newest_first(path: Path, out: io.StringIO) -> None:
    assert list_sessions(path, out) == 0
    heading, first, second = out.getvalue().splitlines()
    assert heading.startswith("LAST ACTIVITY")
    assert "s1" in first
    assert "flagged" in first
    assert "What is a span?" in first
    assert "evil" in second


def test_a_limit_is_kept(path: Path, out: io.StringIO) -> None:
    list_sessions(path, out, form="json", limit=1)
    assert [session["id"] for session in json.loads(out.getvalue())] == ["s1"]


def test_csv_is_read_back_and_no_cell_is_a_formula(path: Path, out: io.StringIO) -> None:
    assert list_sessions(path, out, form="csv") == 0
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [row["id"] for row in rows] == ["s1", "evil\\x1b[2J"]
    assert rows[1]["preview"] == "'=1+1\\x07"


def test_a_thread_reads_as_a_conversation(path: Path, out: io.StringIO) -> None:
    assert show_session(path, out, "s1") == 0
    shown = out.getvalue()
    assert shown.index("user: What is a span?") < shown.index("assistant: A piece of work.") < shown.index("user: And")
    assert "    a trace?" in shown
    assert shown.count("What is a span?") == 1
    assert "client_gone" in shown


def test_a_thread_as_json_holds_its_traces(path: Path, out: io.StringIO) -> None:
    assert show_session(path, out, "s1", as_json=True) == 0
    thread = json.loads(out.getvalue())
    assert thread["session"]["id"] == "s1"
    assert [trace["id"] for trace in thread["traces"]] == ["a.inlet", "a.response", "b.inlet", "b.response"]


def test_a_session_that_is_not_there_is_an_error(path: Path, out: io.StringIO, errors: io.StringIO) -> None:
    assert show_session(path, out, "none\x1b", errors=errors) == 1
    assert "no session none\\x1b" in errors.getvalue()
    assert out.getvalue() == ""


def test_a_missing_database_is_named_with_the_remedy(tmp_path: Path, out: io.StringIO, errors: io.StringIO) -> None:
    missing = tmp_path / "none.db"
    assert list_sessions(missing, out, errors=errors) == 1
    assert show_session(missing, out, "x", errors=errors) == 1
    assert tail(missing, out, errors=errors) == 1
    for line in errors.getvalue().splitlines():
        assert str(missing) in line
        assert "spangate run" in line
    assert out.getvalue() == ""


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_nothing_that_was_stored_steers_the_terminal(path: Path, out: io.StringIO, form: Form) -> None:
    list_sessions(path, out, form=form)
    show_session(path, out, "evil\x1b[2J", as_json=form == "json")
    tail(path, out, once=True)
    assert not set(out.getvalue()) & {"\x1b", "\x07", "\x9b"}


def test_an_empty_store_says_what_to_do(tmp_path: Path, out: io.StringIO) -> None:
    connect_writer(tmp_path / "empty.db").close()
    assert list_sessions(tmp_path / "empty.db", out) == 0
    assert "base URL" in out.getvalue()
