"""What a person is asked, and what their decision comes to for the client. Pure; shows no content."""

import time

from gateway.model.exchange import Exchange, Refusal
from gateway.model.randomness import random_bytes
from gateway.model.review import Decided, Review, Reviewed
from gateway.model.verdict import Assessment


def review_of(exchange: Exchange, asking: Assessment, timeout_s: float, then: str) -> Review:
    now_ns = time.time_ns()
    return Review(
        id=f"rv-{random_bytes(10).hex()}",
        exchange_id=exchange.id,
        session_id=exchange.session.id if exchange.session is not None else "",
        workspace=exchange.workspace,
        agent=asking.agent,
        direction=asking.direction,
        reason=asking.reason,
        risk=asking.risk,
        asked_ns=now_ns,
        until_ns=now_ns + int(timeout_s * 1e9),
        then=then,
    )


def reviewed(review: Review, decided: Decided | None, waited_ns: int) -> Reviewed:
    if decided is None:
        return Reviewed(review.id, "", "", waited_ns / 1e6)
    return Reviewed(review.id, decided.decision, decided.reviewer, waited_ns / 1e6)


def refusal_after(review: Review, decided: Decided | None) -> Refusal | None:
    """None: it goes on."""
    what = f"Policy agent {review.agent} asked for a review ({review.reason})"
    if decided is None:
        if review.then == "allow":
            return None
        return Refusal(403, "review_timeout", f"{what}, and nobody decided in time. Try again later.", review=review.id)
    if decided.decision == "approve":
        return None
    wish = "the reviewer wants it changed" if decided.decision == "change" else "the reviewer declined"
    why = f": {decided.reason}" if decided.reason else ""
    return Refusal(403, "review_declined", f"{what}, and {wish}{why}.", review=review.id)
