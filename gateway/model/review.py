"""A person's decision on an escalated exchange, and what it is asked about. Data only; never shows content."""

from typing import Literal

import msgspec

Decision = Literal["approve", "decline", "change"]


class Review(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An exchange waits for this. Times are Unix nanoseconds."""

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
    """Then it goes on as the agent's file says."""
    then: str
    """`block` or `allow`."""


class Decided(msgspec.Struct, array_like=True, frozen=True, tag=5, gc=False):
    """On the way down to the worker whose exchange waits."""

    review_id: str
    decision: Decision
    reviewer: str
    reason: str


class Reviewed(msgspec.Struct, frozen=True, gc=False):
    """What became of it, for the exchange's span."""

    id: str
    decision: str
    """A `Decision`, or "" where nobody made one in time."""
    reviewer: str
    waited_ms: float
