"""`spangate reviews list`, `approve`, `decline` and `change`: what waits for a person, and the person's decision."""

import getpass
import sqlite3
from pathlib import Path
from typing import TextIO

import msgspec

from gateway.commands.opening import failed
from gateway.commands.printing import json_text, one_line
from gateway.model.review import Decision
from gateway.store import reviews
from gateway.store.reading import moment
from gateway.store.tables import UnusableDatabaseError

_TROUBLE = (FileNotFoundError, UnusableDatabaseError, sqlite3.Error)


def list_reviews(
    path: str | Path,
    out: TextIO,
    *,
    status: reviews.Status | None = "pending",
    as_json: bool = False,
    errors: TextIO | None = None,
) -> int:
    """Newest first; returns the exit code."""
    try:
        found = reviews.listed(Path(path), status)
    except _TROUBLE as error:
        return failed(f"{error}; start the gateway once, or name its config with --config FILE", errors)
    if as_json:
        out.write(json_text(msgspec.json.encode(found)) + "\n")
        return 0
    for row in found:
        decided = f"{row.decision} by {row.reviewer}" if row.decision is not None else row.status
        said = f"{row.agent} on the {row.direction} of {row.exchange_id}: {row.reason}"
        out.write(f"{row.id}  {moment(row.asked_ns)}  {one_line(decided)}  {one_line(said)}\n")
    return 0


def decide_review(
    path: str | Path, out: TextIO, review_id: str, decision: Decision, reason: str, errors: TextIO | None = None
) -> int:
    try:
        reviews.decide(Path(path), review_id, decision, getpass.getuser(), reason)
    except (reviews.NoSuchReviewError, reviews.NotPendingError) as error:
        return failed(f"{one_line(review_id)}: {error}", errors)
    except _TROUBLE as error:
        return failed(f"{error}; start the gateway once, or name its config with --config FILE", errors)
    out.write(f"{review_id}: {decision}\n")
    return 0
