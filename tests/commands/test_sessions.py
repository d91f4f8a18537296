"""Sessions on a terminal and for scripts."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.commands.sessions import Form, list_sessions, show_session
from gateway.commands.sessions_delete import remove_session
from gateway.commands.tail import tail
from gateway.store import rows
from gateway.store.sqlite import connect_writer
from tests.link.fakes import a_record


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
    read = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [row["id"] for row in read] == ["s1", "evil\\x1b[2J"]
    assert read[1]["preview"] == "'=1+1\\x07"


def test_a_thread_reads_as_a_conversation(path: Path, out: io.StringIO) -> None:
    assert show_session(path, out, "s1") == 0
    shown = out.getvalue()
    assert shown.index("user: What is a span?") < shown.index("assistant: A piece of work.") < shown.index("user: And")
    assert "    a trace?" in shown
    assert shown.count("What is a span?") == 1
    assert "client_gone" in shown


def test_a_thread_as_json_holds_its_traces(path: Path, out: io.StringIO) -> None:
    assert show_session(path, out, "s1", form="json") == 0
    thread = json.loads(out.getvalue())
    assert thread["session"]["id"] == "s1"
    assert [trace["id"] for trace in thread["traces"]] == ["a.inlet", "a.response", "b.inlet", "b.response"]


def test_exchanges_are_read_back_from_csv_in_order(path: Path, out: io.StringIO) -> None:
    assert show_session(path, out, "s1", form="csv") == 0
    read = list(csv.DictReader(io.StringIO(out.getvalue())))
    told = [(row["exchange"], row["sequence"], row["outcome"], row["end"], row["tools"]) for row in read]
    assert told == [("a", "1", "allowed", "finished", "search"), ("b", "2", "flagged", "client_gone", "")]
    assert [row["cost_usd"] for row in read] == ["0.0015", ""]


def test_a_terminal_tells_life_attention_and_totals(path: Path, out: io.StringIO) -> None:
    list_sessions(path, out)
    heading, first, _ = out.getvalue().splitlines()
    columns = "LAST ACTIVITY STATE ATTENTION EXCHANGES TOKENS COST MODEL SESSION CONVERSATION"
    assert " ".join(heading.split()) == columns
    for told in ("closed", "flagged", "2, 1 failed", "6/8", "≥ $0.0015", "gpt-4o"):
        assert f" {told} " in first
    out.seek(0)
    show_session(path, out, "s1")
    for told in ("closed, as it was idle for too long", "attention: flagged", "2 exchanges, 1 failed", "≥ $0.0015"):
        assert told in out.getvalue()
    for told in ("1 tool call (search)", "continues older", "continued by evil\\x1b[2J"):
        assert told in out.getvalue()


def test_a_cost_that_is_known_of_nothing_takes_no_column(tmp_path: Path, out: io.StringIO) -> None:
    with closing(connect_writer(tmp_path / "plain.db")) as connection, connection:
        connection.execute("BEGIN")
        rows.insert(connection, [a_record()], day=1)
    list_sessions(tmp_path / "plain.db", out)
    assert "COST" not in out.getvalue()
    assert "$" not in out.getvalue()


def test_a_session_is_deleted_and_what_went_is_said(path: Path, out: io.StringIO, errors: io.StringIO) -> None:
    assert remove_session(path, out, "s1") == 0
    assert out.getvalue() == "deleted s1: 2 exchanges, 3 messages that no other session has\n"
    assert remove_session(path, out, "s1", errors=errors) == 1
    assert "no session s1" in errors.getvalue()
    list_sessions(path, out)
    assert "evil" in out.getvalue()


def test_of_several_workspaces_the_named_ones_session_is_meant(path: Path, out: io.StringIO) -> None:
    with closing(connect_writer(path)) as connection, connection:
        connection.execute("BEGIN")
        rows.insert(connection, [a_record("z", session_id="s1", workspace="red", preview="red one")], day=1)
    for workspace, exchange in (("red", "z"), ("default", "a")):
        out.truncate(0)
        show_session(path, out, "s1", workspace=workspace, form="json")
        assert f'"{exchange}.inlet"' in out.getvalue()
    assert remove_session(path, out, "s1", workspace="red") == 0
    assert show_session(path, out, "s1", workspace="red", errors=io.StringIO()) == 1
    assert show_session(path, out, "s1") == 0


def test_a_database_that_cannot_be_written_keeps_the_session(path: Path, out: io.StringIO, errors: io.StringIO) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert remove_session(path, out, "s1", patience_s=0, errors=errors) == 1
        other.execute("ROLLBACK")
    assert "nothing was deleted, try again" in errors.getvalue()
    assert show_session(path, out, "s1") == 0


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
    show_session(path, out, "evil\x1b[2J", form=form)
    tail(path, out, once=True)
    assert not set(out.getvalue()) & {"\x1b", "\x07", "\x9b"}


def test_an_empty_store_says_what_to_do(tmp_path: Path, out: io.StringIO) -> None:
    connect_writer(tmp_path / "empty.db").close()
    assert list_sessions(tmp_path / "empty.db", out) == 0
    assert "base URL" in out.getvalue()
