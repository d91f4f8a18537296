"""Records as rows: the writer's SQL, one transaction's worth at a time. Knows nothing of threads, files and retries."""

import sqlite3
from collections.abc import Sequence
from operator import attrgetter

from gateway.link.records import ExchangeRecord, MessageRecord
from gateway.model.verdict import OUTCOMES, Assessment
from gateway.store.tables import NOBODY_YET

_COLUMNS = tuple(name for name in ExchangeRecord.__struct_fields__ if name not in ("messages", "assessments"))
_row_of = attrgetter(*_COLUMNS)
_MARKS = ", ".join("?" * len(_COLUMNS))
_INSERT_EXCHANGE = f"INSERT OR IGNORE INTO exchanges ({', '.join(_COLUMNS)}) VALUES ({_MARKS})"  # noqa: S608 our names
# Latest wins: a message stored before content was redacted must not outlive the setting's change.
_INSERT_MESSAGE = """
INSERT INTO messages (digest, last_seen_day, role, json) VALUES (?, ?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET last_seen_day = excluded.last_seen_day, json = excluded.json
WHERE last_seen_day < excluded.last_seen_day OR json <> excluded.json
"""
_SAID = tuple(name for name in Assessment.__struct_fields__ if name not in ("categories", "tags"))
_said = attrgetter(*_SAID)
_INSERT_ASSESSMENT = (
    f"INSERT OR IGNORE INTO assessments (exchange_id, position, {', '.join(_SAID)}, categories, tags)"  # noqa: S608 ours
    f" VALUES ({', '.join('?' * (len(_SAID) + 4))})"
)
_NAMES, _NAME_CHARACTERS = 20, 100
_WORST = " ".join(f"WHEN '{outcome}' THEN {rank}" for rank, outcome in enumerate(OUTCOMES))
# A model call that was answered, or broke off, costs something, whether that is known or not. One on a WebSocket of
# which nothing came back asked for nothing.
_UNPRICED = """cost_nusd IS NULL AND refusal_code IS NULL AND status < 400
    AND operation NOT IN ('', 'count_tokens', 'fetch_response')
    AND NOT (status = 101 AND usage_state = 'missing' AND output_digests = x'')"""
# Each exchange is merged into its session by steps whose order does not matter (sums, extremes, the earliest that
# knows, a sorted list), so the row is the same however exchanges arrive. Only those that were new (n above what was
# there) count: a batch that comes twice adds nothing.
_PLACE = "printf('%012d.%020d.', session_sequence, started_ns) || id"
_UPSERT_SESSIONS = f"""
INSERT INTO sessions (id, workspace, first_ns, last_ns, last_input_ns, exchanges, failures,
    flagged, escalated, blocked, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    tool_calls, cost_nusd, unpriced, worst, user,
    source, origin, models, providers, tools, preview, previous_id, ended, closed, opened_by, named_by, titled_by)
SELECT session_id, workspace, started_ns, ended_ns, started_ns, 1, end NOT IN ('finished', 'blocked', 'refused'),
    outcome IN ('flagged', 'redacted'), outcome = 'escalated', outcome = 'blocked',
    coalesce(input_tokens, 0), coalesce(output_tokens, 0), coalesce(cache_read_tokens, 0),
    coalesce(cache_write_tokens, 0), coalesce(reasoning_tokens, 0),
    tool_calls, cost_nusd, {_UNPRICED}, CASE outcome {_WORST} ELSE 0 END, user,
    session_source, origin, substr(model, 1, {_NAME_CHARACTERS}), substr(provider, 1, {_NAME_CHARACTERS}), tools,
    preview, iif(refusal_code IS 'session_closed', NULL, previous_session), session_end, session_end,
    {_PLACE}, CASE WHEN user IS NULL THEN '{NOBODY_YET}' ELSE {_PLACE} END,
    CASE WHEN preview = '' THEN '{NOBODY_YET}' ELSE {_PLACE} END
FROM exchanges WHERE n > ?
ON CONFLICT (id, workspace) DO UPDATE SET
    first_ns = min(first_ns, excluded.first_ns),
    last_ns = max(last_ns, excluded.last_ns),
    last_input_ns = max(last_input_ns, excluded.last_input_ns),
    exchanges = exchanges + 1,
    failures = failures + excluded.failures,
    flagged = flagged + excluded.flagged,
    escalated = escalated + excluded.escalated,
    blocked = blocked + excluded.blocked,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
    tool_calls = tool_calls + excluded.tool_calls,
    cost_nusd = iif(excluded.cost_nusd IS NULL, cost_nusd, coalesce(cost_nusd, 0) + excluded.cost_nusd),
    unpriced = unpriced + excluded.unpriced,
    worst = max(worst, excluded.worst),
    user = iif(excluded.named_by < named_by, excluded.user, user),
    source = iif(excluded.opened_by < opened_by, excluded.source, source),
    origin = iif(excluded.opened_by < opened_by, excluded.origin, origin),
    models = iif(models = excluded.models, models, names(models, excluded.models)),
    providers = iif(providers = excluded.providers, providers, names(providers, excluded.providers)),
    tools = iif(excluded.tools IN ('', tools), tools, names(tools, excluded.tools)),
    preview = iif(excluded.titled_by < titled_by, excluded.preview, preview),
    previous_id = iif(excluded.opened_by < opened_by, excluded.previous_id, previous_id),
    ended = max(ended, excluded.ended),
    closed = max(ended, excluded.ended),  -- idle no more, or so `close_idle` will say again
    opened_by = min(opened_by, excluded.opened_by),
    named_by = min(named_by, excluded.named_by),
    titled_by = min(titled_by, excluded.titled_by)
"""  # noqa: S608 our own words


def prepare(connection: sqlite3.Connection) -> None:
    """Once a connection, before `insert`."""
    connection.create_function("names", 2, _names, deterministic=True)


def insert(connection: sqlite3.Connection, records: Sequence[ExchangeRecord], day: int) -> None:
    """Store what is new of `records`, inside the caller's transaction. The same exchange twice changes nothing."""
    before = connection.execute("SELECT coalesce(max(n), 0) FROM exchanges").fetchone()[0]
    connection.executemany(_INSERT_EXCHANGE, map(_row_of, records))
    connection.execute(_UPSERT_SESSIONS, (before,))
    messages: dict[bytes, MessageRecord] = {}
    for record in records:
        for message in record.messages:
            messages[message.digest] = message
    connection.executemany(
        _INSERT_MESSAGE, [(message.digest, day, message.role, message.json) for message in messages.values()]
    )
    connection.executemany(
        _INSERT_ASSESSMENT,
        [
            (record.id, position, *_said(said), "\n".join(said.categories), "\n".join(said.tags))
            for record in records
            for position, said in enumerate(record.assessments)
        ],
    )


def _names(old: str, new: str) -> str:
    """Two lists, one a line, as one; of too many the first by alphabet, so that it is the same in every order."""
    return "\n".join(sorted({*old.split("\n"), *new.split("\n")} - {""})[:_NAMES])


_CLOSE_IDLE = """
UPDATE sessions SET closed = 1 WHERE n IN (
    SELECT n FROM sessions WHERE NOT closed AND last_input_ns < ? ORDER BY last_input_ns LIMIT ?)
"""


def close_after(connection: sqlite3.Connection, close_after_ns: int) -> None:
    """The rule by which idle sessions are closed here from now on, for readers too. Inside a transaction."""
    if connection.execute("SELECT close_after_ns FROM rules").fetchone() != (close_after_ns,):
        connection.execute("UPDATE rules SET close_after_ns = ?", (close_after_ns,))
        connection.execute("UPDATE sessions SET closed = ended WHERE closed <> ended")


def close_idle(connection: sqlite3.Connection, now_ns: int, step: int) -> int:
    """Mark at most `step` sessions closed that are idle for too long; returns how many. Inside a transaction.

    Readers go by the rule itself, `life.closed_by`; the mark is for whoever looks for sessions by it.
    """
    (close_after_ns,) = connection.execute("SELECT close_after_ns FROM rules").fetchone()
    return connection.execute(_CLOSE_IDLE, (now_ns - close_after_ns, step)).rowcount


_PRUNE_ASSESSMENTS = """
DELETE FROM assessments WHERE exchange_id IN (
    SELECT id FROM (SELECT id, ended_ns FROM exchanges ORDER BY n LIMIT :step) WHERE ended_ns < :before_ns)
"""
_PRUNE_EXCHANGES = """
DELETE FROM exchanges WHERE n IN (
    SELECT n FROM (SELECT n, ended_ns FROM exchanges ORDER BY n LIMIT :step) WHERE ended_ns < :before_ns)
"""
_PRUNE_SESSIONS = """
DELETE FROM sessions WHERE n IN (
    SELECT n FROM sessions WHERE last_ns < :before_ns ORDER BY last_ns LIMIT :step)
"""
_PRUNE_MESSAGES = """
DELETE FROM messages WHERE n IN (
    SELECT n FROM messages WHERE last_seen_day < :before_day ORDER BY last_seen_day LIMIT :step)
"""
_PRUNE_REVIEWS = """
DELETE FROM reviews WHERE id IN (
    SELECT id FROM reviews WHERE asked_ns < :before_ns ORDER BY asked_ns LIMIT :step)
"""


def prune(connection: sqlite3.Connection, before_ns: int, step: int) -> int:
    """Delete at most `step` rows of each kind that ended before this Unix time; returns how many. Inside a transaction.

    Exchanges are stored about as they end, so the oldest rows are the first rows: no index by time is needed.
    """
    # A day more for messages: they are dated by day, and by when they were stored.
    limits = {"step": step, "before_ns": before_ns, "before_day": before_ns // 86_400_000_000_000 - 1}
    statements = (_PRUNE_ASSESSMENTS, _PRUNE_EXCHANGES, _PRUNE_SESSIONS, _PRUNE_MESSAGES, _PRUNE_REVIEWS)
    return sum(connection.execute(statement, limits).rowcount for statement in statements)
