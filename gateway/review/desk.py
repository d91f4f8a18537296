"""Where a worker's exchanges wait for a person's decision. Keeps no content, and no one longer than it was told."""

import asyncio
from collections import Counter
from typing import Protocol

from gateway.model.review import Decided, Review

_WAITING_MAX = 10_000


class Reviewers(Protocol):
    """The way to the people who decide; `Uplink` is it. Never waits, never raises."""

    def ask(self, review: Review) -> None:
        """Until `withdraw`, also of a control plane that comes later."""

    def withdraw(self, review_id: str) -> None:
        """Nobody waits for it any more."""


class ReviewDesk:
    def __init__(self, reviewers: Reviewers) -> None:
        self._reviewers = reviewers
        self._waiting: dict[str, asyncio.Future[Decided]] = {}
        self.counters: Counter[str] = Counter()
        """`asked`, `decided`, `timed_out`, `withdrawn` (the client left), `turned_away` (too many wait)."""

    async def decision(self, review: Review, timeout_s: float) -> Decided | None:
        """None where nobody decides in time, or where too many wait already."""
        if len(self._waiting) >= _WAITING_MAX:
            self.counters["turned_away"] += 1
            return None
        self.counters["asked"] += 1
        waiting: asyncio.Future[Decided] = asyncio.get_running_loop().create_future()
        self._waiting[review.id] = waiting
        self._reviewers.ask(review)
        how = "withdrawn"
        try:
            async with asyncio.timeout(timeout_s):
                decided = await waiting
            how = "decided"
            return decided
        except TimeoutError:
            how = "timed_out"
            return None
        finally:
            self.counters[how] += 1
            del self._waiting[review.id]
            self._reviewers.withdraw(review.id)

    def decided(self, decided: Decided) -> None:
        """Somebody did; for one that does not wait here it is nothing."""
        waiting = self._waiting.get(decided.review_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(decided)
