"""The control plane's side of reviews: keeps them in the store, looks for decisions there, tells the workers."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import structlog

from gateway.model.review import Decided, Review
from gateway.store import reviews
from gateway.store.tables import UnusableDatabaseError

_log = structlog.get_logger("gateway.review")
LOOK_EVERY_S = 0.1
_AT_ONCE = 500
_TROUBLE = (sqlite3.Error, OSError, UnusableDatabaseError)


class PendingReviews:
    """Implements the link's `ReviewSink`. Looks only while somebody waits; a database that fails is tried again."""

    def __init__(self, path: Path, tell: Callable[[Decided], None]) -> None:
        self._path = path
        self._tell = tell
        self._waiting: dict[str, Review] = {}
        self._stored: set[str] = set()
        self._left: list[str] = []
        self._someone = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reviews")
        self._failures = self._told = 0

    def ask(self, review: Review) -> None:
        self._waiting[review.id] = review
        self._someone.set()

    def withdraw(self, review_id: str) -> None:
        if self._waiting.pop(review_id, None) is not None:
            self._stored.discard(review_id)
            self._left.append(review_id)
            self._someone.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._someone.wait()
            if self._waiting or self._left:
                await self._look()
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                self._someone.clear()

    async def _look(self) -> None:
        new = [review for name, review in self._waiting.items() if name not in self._stored]
        left, self._left = self._left, []
        look = partial(self._in_thread, new, left, [*self._waiting])
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, look)
        except _TROUBLE as error:
            self._left = left + self._left
            if not self._failures:
                _log.error("reviews cannot be kept; trying again", error=type(error).__name__)
            self._failures += 1
            return
        self._stored.update(review.id for review in new if review.id in self._waiting)
        for decided in found:
            self._told += 1
            self._tell(decided)

    def _in_thread(self, new: list[Review], left: list[str], waiting: list[str]) -> list[Decided]:
        for review in new:
            reviews.add(self._path, review)
        for review_id in left:
            reviews.withdraw(self._path, review_id)
        parts = [waiting[at : at + _AT_ONCE] for at in range(0, len(waiting), _AT_ONCE)]
        return [decided for part in parts for decided in reviews.decided_among(self._path, part)]

    def counters(self) -> dict[str, int]:
        return {"waiting": len(self._waiting), "told": self._told, "failures": self._failures}

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
