"""Reviews on disk: the first decision counts, and only where somebody waits for it."""

import time
from pathlib import Path

import pytest

from gateway.model.review import Decided, Review
from gateway.store import reviews
from gateway.store.sqlite import connect_writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "spangate.db"
    connect_writer(path).close()
    return path


def a_review(name: str, waits_s: float = 3600.0) -> Review:
    now_ns = time.time_ns()
    until_ns = now_ns + int(waits_s * 1e9)
    return Review(name, "x1", "s1", "default", "keeper", "inlet", "codenames", "high", now_ns, until_ns, "block")


def test_a_review_is_listed_until_somebody_has_decided(path: Path) -> None:
    reviews.add(path, a_review("a"))
    reviews.add(path, a_review("a"))  # a control plane that comes later is told again
    assert [(row.id, row.status) for row in reviews.listed(path, "pending")] == [("a", "pending")]
    reviews.decide(path, "a", "decline", "ada", "no")
    assert reviews.listed(path, "pending") == []
    [row] = reviews.listed(path, "decided")
    assert (row.decision, row.reviewer, row.note, row.then) == ("decline", "ada", "no", "block")
    assert reviews.decided_among(path, ["a", "b"]) == [Decided("a", "decline", "ada", "no")]


def test_the_first_decision_counts(path: Path) -> None:
    reviews.add(path, a_review("a"))
    reviews.decide(path, "a", "approve", "ada", "")
    with pytest.raises(reviews.NotPendingError, match="approve"):
        reviews.decide(path, "a", "decline", "bob", "")


def test_nobody_decides_what_nobody_waits_for(path: Path) -> None:
    reviews.add(path, a_review("late", waits_s=-1))
    reviews.add(path, a_review("left"))
    reviews.withdraw(path, "left")
    for name in ("late", "left"):
        with pytest.raises(reviews.NotPendingError, match="nobody waits"):
            reviews.decide(path, name, "approve", "ada", "")
    with pytest.raises(reviews.NoSuchReviewError):
        reviews.decide(path, "none", "approve", "ada", "")
    assert {row.status for row in reviews.listed(path)} == {"expired"}
    assert len(reviews.listed(path, "expired")) == 2
