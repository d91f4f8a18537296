"""A store with a conversation in it, and a stream to print to."""

import io
from pathlib import Path

import pytest

from gateway.store import rows
from gateway.store.sqlite import connect_writer
from tests.link.fakes import a_message, a_record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "spangate.db"
    one, yes, two = a_message("What is a span?"), a_message("A piece of work.", "assistant"), a_message("And\na trace?")
    connection = connect_writer(path)
    with connection:
        connection.execute("BEGIN")
        rows.insert(
            connection,
            [
                a_record(
                    "a",
                    input_digests=one.digest,
                    output_digests=yes.digest,
                    messages=(one, yes),
                    preview="What is a span?",
                    ended_ns=3 * 10**9,
                    previous_session="older",
                    cost_nusd=1_500_000,
                    tool_calls=1,
                    tools="search",
                ),
                a_record(
                    "b",
                    input_digests=one.digest + yes.digest + two.digest,
                    output_digests=b"",
                    messages=(two,),
                    outcome="flagged",
                    preview="",
                    end="client_gone",
                    session_sequence=2,
                    new_from=1,
                ),
                a_record(
                    "c",
                    session_id="evil\x1b[2J",
                    model="\x9b31m",
                    tools="\x9b7m",
                    tool_calls=1,
                    preview="=1+1\x07",
                    ended_ns=10**9,
                    messages=(),
                    previous_session="s1",
                ),
            ],
            day=1,
        )
    connection.close()
    return path


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def errors() -> io.StringIO:
    return io.StringIO()
