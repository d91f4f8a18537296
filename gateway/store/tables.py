"""The tables of the SQLite store and their versions. Refuses a database of a newer spangate, or of another program."""

import sqlite3
from collections.abc import Sequence

_APPLICATION_ID = 0x53504754  # "SPGT", so that `file` and we can tell whose database it is
_FIRST = """
CREATE TABLE exchanges (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    trace_id BLOB NOT NULL,
    span_id BLOB NOT NULL,
    workspace TEXT NOT NULL,
    session_id TEXT NOT NULL,
    session_source TEXT NOT NULL,
    session_confidence REAL NOT NULL,
    session_sequence INTEGER NOT NULL,
    session_header INTEGER NOT NULL,
    session_end INTEGER NOT NULL,
    previous_session TEXT,
    parent_exchange TEXT,
    user TEXT,
    participant TEXT NOT NULL,
    origin TEXT NOT NULL,
    service TEXT NOT NULL,
    provider TEXT NOT NULL,
    api TEXT NOT NULL,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    response_model TEXT,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    stream INTEGER NOT NULL,
    status INTEGER NOT NULL,
    end TEXT NOT NULL,
    error_type TEXT,
    outcome TEXT NOT NULL,
    capture TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    first_byte_ms REAL,
    overhead_ms REAL NOT NULL,
    usage_state TEXT NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cache_read_tokens INTEGER,
    cache_write_tokens INTEGER,
    reasoning_tokens INTEGER,
    finish_reasons TEXT NOT NULL,
    input_digests BLOB NOT NULL,
    output_digests BLOB NOT NULL,
    preview TEXT NOT NULL,
    refusal_code TEXT
);
CREATE INDEX exchanges_by_session ON exchanges (session_id, workspace);
CREATE TABLE messages (
    n INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    last_seen_day INTEGER NOT NULL,
    role TEXT NOT NULL,
    json BLOB NOT NULL
);
CREATE INDEX messages_by_day ON messages (last_seen_day);
CREATE TABLE assessments (
    exchange_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    agent TEXT NOT NULL,
    version TEXT NOT NULL,
    role TEXT NOT NULL,
    direction TEXT NOT NULL,
    intent TEXT NOT NULL,
    outcome TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    risk TEXT NOT NULL,
    confidence REAL NOT NULL,
    took_ms REAL NOT NULL,
    PRIMARY KEY (exchange_id, position)
) WITHOUT ROWID;
CREATE TABLE sessions (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    workspace TEXT NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    exchanges INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    worst INTEGER NOT NULL,
    user TEXT,
    source TEXT NOT NULL,
    origin TEXT NOT NULL,
    models TEXT NOT NULL,
    providers TEXT NOT NULL,
    preview TEXT NOT NULL,
    previous_id TEXT,
    closed INTEGER NOT NULL,
    UNIQUE (id, workspace)
);
CREATE INDEX sessions_by_time ON sessions (last_ns);
"""
NOBODY_YET = "~"
"""A place that sorts after every exchange's: nobody in the session said who the user is, or what it is about."""
# `opened_by`, `named_by`: the place in the session of the exchange that the row's source and origin, and its user
# are from. What was stored before it was known where it is from, stays.
_SECOND = f"""
ALTER TABLE sessions ADD COLUMN opened_by TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN named_by TEXT NOT NULL DEFAULT '';
UPDATE sessions SET named_by = '{NOBODY_YET}' WHERE user IS NULL;
ALTER TABLE assessments ADD COLUMN message TEXT NOT NULL DEFAULT '';
ALTER TABLE assessments ADD COLUMN categories TEXT NOT NULL DEFAULT '';
ALTER TABLE assessments ADD COLUMN tags TEXT NOT NULL DEFAULT '';
ALTER TABLE exchanges ADD COLUMN new_from INTEGER NOT NULL DEFAULT 0;
"""  # noqa: S608 our own word
# `titled_by`: the same of `preview`, which is the first exchange's that has one.
_THIRD = f"""
ALTER TABLE sessions ADD COLUMN titled_by TEXT NOT NULL DEFAULT '';
UPDATE sessions SET titled_by = '{NOBODY_YET}' WHERE preview = '';
"""  # noqa: S608 our own word
# Life and totals. What was stored before is summed up from the exchanges that are still there; calls of tools were not
# counted then. A session of a refused call follows none.
_FOURTH = """
CREATE TABLE rules (close_after_ns INTEGER NOT NULL);
INSERT INTO rules VALUES (86400000000000);
ALTER TABLE exchanges ADD COLUMN tool_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exchanges ADD COLUMN tools TEXT NOT NULL DEFAULT '';
ALTER TABLE exchanges ADD COLUMN cost_nusd INTEGER;
DROP INDEX exchanges_by_session;
CREATE INDEX exchanges_in_order ON exchanges (session_id, workspace, session_sequence, started_ns);
ALTER TABLE sessions RENAME COLUMN closed TO ended;
ALTER TABLE sessions ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN last_input_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN flagged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN escalated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN cache_read_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN tool_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN tools TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN cost_nusd INTEGER;
ALTER TABLE sessions ADD COLUMN unpriced INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET closed = ended, last_input_ns = last_ns;
UPDATE sessions SET last_input_ns = sums.last_input_ns, flagged = sums.flagged, escalated = sums.escalated,
    blocked = sums.blocked, cache_read_tokens = sums.cache_read_tokens, cache_write_tokens = sums.cache_write_tokens,
    reasoning_tokens = sums.reasoning_tokens, unpriced = sums.unpriced
FROM (SELECT session_id, workspace, max(started_ns) AS last_input_ns,
        sum(outcome IN ('flagged', 'redacted')) AS flagged, sum(outcome = 'escalated') AS escalated,
        sum(outcome = 'blocked') AS blocked, total(cache_read_tokens) AS cache_read_tokens,
        total(cache_write_tokens) AS cache_write_tokens, total(reasoning_tokens) AS reasoning_tokens,
        sum(refusal_code IS NULL AND status < 400
            AND operation NOT IN ('', 'count_tokens', 'fetch_response')) AS unpriced
    FROM exchanges GROUP BY session_id, workspace) AS sums
WHERE sums.session_id = sessions.id AND sums.workspace = sessions.workspace;
UPDATE sessions SET previous_id = NULL WHERE previous_id IS NOT NULL AND EXISTS (
    SELECT 1 FROM exchanges WHERE session_id = sessions.id AND workspace = sessions.workspace
    AND refusal_code = 'session_closed');
CREATE INDEX sessions_open ON sessions (last_input_ns) WHERE NOT closed;
CREATE INDEX sessions_continued ON sessions (previous_id, workspace) WHERE previous_id IS NOT NULL;
"""
_FIFTH = """
ALTER TABLE assessments ADD COLUMN released_bytes INTEGER;
CREATE TABLE reviews (
    id TEXT PRIMARY KEY,
    exchange_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    workspace TEXT NOT NULL,
    agent TEXT NOT NULL,
    direction TEXT NOT NULL,
    reason TEXT NOT NULL,
    risk TEXT NOT NULL,
    asked_ns INTEGER NOT NULL,
    until_ns INTEGER NOT NULL,
    "then" TEXT NOT NULL,
    decision TEXT,
    reviewer TEXT,
    note TEXT,
    decided_ns INTEGER,
    withdrawn INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX reviews_by_time ON reviews (asked_ns);
"""
MIGRATIONS: Sequence[str] = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH)
"""One script a version; a database at version v has run the first v of them."""


class UnusableDatabaseError(Exception):
    """What is wrong with the file and what to do."""


def check_version(connection: sqlite3.Connection, path: str) -> int:
    """The database's version; raises UnusableDatabase for one that this program must not touch. 0 is an empty file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != _APPLICATION_ID and (application or tables):
        raise UnusableDatabaseError(
            f"{path} is another program's database; name a new file in extensions::storage::url"
        )
    if version > len(MIGRATIONS):
        raise UnusableDatabaseError(
            f"{path} was written by a newer spangate (schema {version}; this one knows {len(MIGRATIONS)}); "
            "upgrade spangate, or name another file in extensions::storage::url"
        )
    return int(version)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the database to this program's version, a version a transaction."""
    for version in range(check_version(connection, path), len(MIGRATIONS)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[version]} PRAGMA application_id = {_APPLICATION_ID}; "
            f"PRAGMA user_version = {version + 1}; COMMIT;"
        )
