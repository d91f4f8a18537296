"""A database of the version before keeps what it holds, and gets sums of what is still there."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store.cursors import TurnCursor
from gateway.store.queries import Reader
from gateway.store.sqlite import connect_writer
from gateway.store.tables import MIGRATIONS, UnusableDatabaseError

_THIRD = 3
_DAY_S = 86400
_EXCHANGE = {
    "trace_id": b"t" * 16,
    "span_id": b"s" * 8,
    "workspace": "default",
    "session_source": "explicit",
    "session_confidence": 1.0,
    "session_header": 0,
    "session_end": 0,
    "participant": "user",
    "origin": "python",
    "service": "openai",
    "provider": "openai",
    "api": "openai_chat",
    "operation": "chat",
    "model": "gpt-4o",
    "method": "POST",
    "path": "/v1/chat/completions",
    "stream": 0,
    "status": 200,
    "end": "finished",
    "outcome": "allowed",
    "capture": "full",
    "overhead_ms": 0.1,
    "usage_state": "reported",
    "finish_reasons": "stop",
    "input_digests": b"i" * 16,
    "output_digests": b"",
    "preview": "",
}
_SESSION = {
    "workspace": "default",
    "failures": 0,
    "worst": 0,
    "source": "explicit",
    "origin": "python",
    "models": "gpt-4o",
    "providers": "openai",
    "preview": "hello",
    "closed": 0,
    "opened_by": "1",
    "named_by": "~",
    "titled_by": "1",
}


@pytest.fixture
def before(path: Path) -> Path:
    """Two conversations and a refused call, as the version before this one stored them."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("".join(MIGRATIONS[:_THIRD]))
        connection.executescript(f"PRAGMA application_id = 0x53504754; PRAGMA user_version = {_THIRD};")
        put(connection, "sessions", id="talk", first_ns=10, last_ns=95, exchanges=9, input_tokens=70, output_tokens=7)
        put(connection, "sessions", id="over", first_ns=5, last_ns=6, exchanges=1, input_tokens=0, output_tokens=0)
        connection.execute("UPDATE sessions SET closed = 1, previous_id = 'talk' WHERE id = 'over'")
        put(connection, "sessions", id="no", first_ns=7, last_ns=8, exchanges=1, input_tokens=0, output_tokens=0)
        connection.execute("UPDATE sessions SET previous_id = 'over' WHERE id = 'no'")
        told = {"session_id": "talk", "reasoning_tokens": 2, "cache_read_tokens": 5}
        put(connection, "exchanges", id="b", session_sequence=8, started_ns=50, ended_ns=95, outcome="flagged", **told)
        put(connection, "exchanges", id="c", session_sequence=9, started_ns=60, ended_ns=70, outcome="blocked", **told)
        put(connection, "exchanges", id="d", session_sequence=1, started_ns=7, ended_ns=8, session_id="no")
        connection.execute("UPDATE exchanges SET refusal_code = 'session_closed', status = 410 WHERE id = 'd'")
        connection.execute("INSERT INTO messages VALUES (1, ?, 20000, 'user', ?)", (b"i" * 16, b'{"parts":[]}'))
        connection.commit()
    return path


def put(connection: sqlite3.Connection, table: str, **row: object) -> None:
    row = {**(_EXCHANGE if table == "exchanges" else _SESSION), **row}
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()])


def test_what_the_version_before_stored_is_there_and_summed_up(before: Path) -> None:
    with pytest.raises(UnusableDatabaseError, match="older than this spangate"):
        Reader(before)
    connect_writer(before).close()
    with closing(Reader(before, lambda: 60e-9 + _DAY_S)) as reader:
        sessions = {session.id: session for session in reader.sessions().sessions}
        talk = sessions["talk"]
        assert (talk.exchanges, talk.input_tokens, talk.output_tokens) == (9, 70, 7), "also of what is pruned by now"
        assert (talk.flagged, talk.blocked, talk.attention) == (1, 1, "blocked")
        assert (talk.cache_read_tokens, talk.reasoning_tokens, talk.unpriced, talk.cost_usd) == (10, 4, 2, None)
        assert (talk.last_input_ns, talk.lifecycle, talk.continued_by) == (60, "open", ("over",))
        assert (sessions["over"].closed_by, sessions["over"].previous_id) == ("end", "talk")
        assert sessions["over"].last_input_ns == 6, "of whom no exchange is left, what is known of its end"
        assert (sessions["no"].previous_id, sessions["no"].unpriced) == (None, 0)
        assert [turn.exchange.id for turn in reader.turns(talk).turns] == ["b", "c"]
        assert reader.turns(talk, after=TurnCursor(8, 50, 1)).turns[0].inputs[0] is not None
    with closing(Reader(before, lambda: 61e-9 + _DAY_S)) as reader:
        session = reader.session("talk")
        assert session is not None
        assert session.closed_by == "idle"


def test_a_migration_that_breaks_off_leaves_the_version_before(before: Path) -> None:
    with closing(sqlite3.connect(before)) as connection:
        connection.execute("CREATE TABLE rules (in_the_way)")
    with pytest.raises(sqlite3.OperationalError, match="rules already exists"):
        connect_writer(before)
    with closing(sqlite3.connect(before)) as connection:
        connection.execute("DROP TABLE rules")
        assert connection.execute("PRAGMA user_version").fetchone() == (_THIRD,)
        assert connection.execute("SELECT count(*) FROM exchanges").fetchone() == (3,)
    connect_writer(before).close()
