"""Reviews on disk: what waits, and what people decided. Small, rare writes on a connection of their own."""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import msgspec

from gateway.model.review import Decided, Decision, Review
from gateway.store.tables import MIGRATIONS, UnusableDatabaseError, check_version

Status = Literal["pending", "decided", "expired"]
_COLUMNS = Review.__struct_fields__
_SHOWN = ", ".join(f'"{name}"' for name in _COLUMNS)
_PENDING = "decision IS NULL AND withdrawn = 0 AND until_ns > ?"
REASON_MAX = 500
"""Characters."""


class ReviewRow(msgspec.Struct):
    id: str
    exchange_id: str
    session_id: str
    workspace: str
    agent: str
    direction: str
    reason: str
    risk: str
    asked_ns: int
    until_ns: int
    then: str
    decision: str | None
    reviewer: str | None
    note: str | None
    decided_ns: int | None
    status: Status = "pending"


class NoSuchReviewError(LookupError):
    """It was never asked for, or is older than the store's retention."""


class NotPendingError(ValueError):
    """Somebody has decided already, or nobody waits for it any more."""


def add(path: Path, review: Review) -> None:
    values = [getattr(review, name) for name in _COLUMNS]
    marks = ", ".join("?" * len(values))
    with closing(_connect(path)) as connection, connection:
        connection.execute(f"INSERT OR IGNORE INTO reviews ({_SHOWN}) VALUES ({marks})", values)  # noqa: S608 ours


def withdraw(path: Path, review_id: str) -> None:
    with closing(_connect(path)) as connection, connection:
        connection.execute("UPDATE reviews SET withdrawn = 1 WHERE id = ? AND decision IS NULL", (review_id,))


def decide(path: Path, review_id: str, decision: Decision, reviewer: str, reason: str) -> None:
    """The first one counts. Raises NoSuchReviewError, NotPendingError."""
    now_ns = time.time_ns()
    with closing(_connect(path)) as connection, connection:
        changed = connection.execute(
            f"UPDATE reviews SET decision = ?, reviewer = ?, note = ?, decided_ns = ? WHERE id = ? AND {_PENDING}",  # noqa: S608 ours
            (decision, reviewer, reason[:REASON_MAX], now_ns, review_id, now_ns),
        ).rowcount
        if changed:
            return
        known = connection.execute("SELECT decision FROM reviews WHERE id = ?", (review_id,)).fetchone()
    if known is None:
        raise NoSuchReviewError("no such review; see `spangate reviews list`")
    raise NotPendingError("nobody waits for it any more" if known[0] is None else f"it was decided: {known[0]}")


def decided_among(path: Path, review_ids: Sequence[str]) -> list[Decided]:
    """Of these, which are few."""
    marks = ", ".join("?" * len(review_ids))
    with closing(_connect(path)) as connection:
        rows = connection.execute(
            f"SELECT id, decision, reviewer, note FROM reviews WHERE decision IS NOT NULL AND id IN ({marks})",  # noqa: S608 ours
            review_ids,
        ).fetchall()
    return [Decided(*row) for row in rows]


def listed(path: Path, status: Status | None = None, limit: int = 100) -> list[ReviewRow]:
    """Newest first."""
    now_ns = time.time_ns()
    where, values = {
        None: ("1", []),
        "pending": (_PENDING, [now_ns]),
        "decided": ("decision IS NOT NULL", []),
        "expired": (f"decision IS NULL AND NOT ({_PENDING})", [now_ns]),
    }[status]
    columns = f"{_SHOWN}, decision, reviewer, note, decided_ns"
    with closing(_connect(path)) as connection:
        rows = connection.execute(
            f"SELECT {columns}, withdrawn FROM reviews WHERE {where} ORDER BY asked_ns DESC LIMIT ?",  # noqa: S608 ours
            (*values, limit),
        ).fetchall()
    found = []
    for *fields, withdrawn in rows:
        row = ReviewRow(*fields)
        over = withdrawn or row.until_ns <= now_ns
        row.status = "decided" if row.decision is not None else "expired" if over else "pending"
        found.append(row)
    return found


def _connect(path: Path) -> sqlite3.Connection:
    """Raises FileNotFoundError, UnusableDatabaseError."""
    if not path.is_file():
        raise FileNotFoundError(f"no database at {path}")
    connection = sqlite3.connect(path, timeout=2.0)
    try:
        if check_version(connection, str(path)) < len(MIGRATIONS):
            raise UnusableDatabaseError(f"{path} is older than this spangate; start the gateway once")
    except BaseException:
        connection.close()
        raise
    return connection
