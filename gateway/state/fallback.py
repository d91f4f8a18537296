"""A shared engine with this process's own memory behind it: what the engine fails at is done locally, and marked.

No exchange waits for an engine that is down, and none is refused because of it.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from gateway.contracts import SessionState
from gateway.model.session import Claim, Lesson, Place, Thread

_log = structlog.get_logger("gateway.state")

TRIES_AGAIN_S = (0.5, 1.0, 2.0, 5.0, 15.0)
_FIRST_WAIT_S, _WAIT_S = 10.0, 0.05
"""For other processes that open it too: nobody is served before the first time, and all stand still later."""
STEADY_S = 30.0
"""Without a failure, until it counts as well again: on a full disk an engine opens, and fails at the next session."""

Result = TypeVar("Result")


class Engine(SessionState, Protocol):
    """One that answers at once."""

    def resolve(self, claim: Claim, now_ns: int) -> Place | None: ...


class SharedEngine(Engine, Protocol):
    def knows(self, claim: Claim) -> bool:
        """Whether one of the claim's keys was learnt; changes nothing."""


class FallbackState:
    """Implements `contracts.SessionState`."""

    def __init__(
        self,
        opened: Callable[[float], SharedEngine],
        failure: type[Exception],
        local: Engine,
        clock: Callable[[], float] = time.monotonic,
        busy: type[Exception] | tuple[()] = (),
    ) -> None:
        """`opened`: the engine, anew; it waits at most so many seconds for others that open it. It and its calls raise
        `failure`, after which it is closed and opened again later; not after those of them that are `busy`."""
        self._opened = opened
        self._failure = failure
        self._busy = busy
        self._local = local
        self._clock = clock
        self._engine: SharedEngine | None = None
        self._engines: Counter[str] = Counter()
        """What engines counted that are closed."""
        self._counted: Counter[str] = Counter()
        self._failures = 0
        self._failed_at = self._again_at = -1.0
        self.trouble: str | None = None
        self._reopen(_FIRST_WAIT_S)
        self.failures = (local if self._engine is None else self._engine).failures

    @property
    def counters(self) -> Counter[str]:
        """Those of the engine and of this memory; `failed`: calls that the engine failed at; `local`: sessions that
        were resolved here."""
        engine = self._engine.counters if self._engine is not None else Counter()
        return self._engines + engine + self._local.counters + self._counted

    def resolve(self, claim: Claim, now_ns: int) -> Place | None:
        done, place = self._tried(lambda engine: engine.resolve(claim, now_ns))
        if done:
            return place
        self._counted["local"] += 1
        place = self._local.resolve(claim, now_ns)
        return None if place is None else place._replace(local=True)

    def knows(self, claim: Claim) -> bool:
        """Yes also while the engine fails: then no other worker can teach this one anything."""
        done, known = self._tried(lambda engine: engine.knows(claim))
        return known is True if done else True

    def learn(self, lesson: Lesson) -> Thread:
        done, thread = self._tried(lambda engine: engine.learn(lesson))
        return thread if done and thread is not None else self._local.learn(lesson)

    def end(self, workspace: str, session_id: str) -> None:
        self._tried(lambda engine: engine.end(workspace, session_id))
        self._local.end(workspace, session_id)

    def sweep(self, now_ns: int) -> None:
        self._tried(lambda engine: engine.sweep(now_ns))
        self._local.sweep(now_ns)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    def _tried(self, call: Callable[[SharedEngine], Result]) -> tuple[bool, Result | None]:
        """Whether the engine did it, and what it said."""
        if self.trouble is not None and (self._clock() < self._again_at or not self._reopen(_WAIT_S)):
            return False, None
        assert self._engine is not None
        try:
            result = call(self._engine)
        except self._failure as error:
            self._failed(error)
            return False, None
        self.trouble = None
        if self._failures and self._clock() - self._failed_at >= STEADY_S:
            _log.info("session state works again")
            self._failures = 0
        return True, result

    def _reopen(self, wait_s: float) -> bool:
        try:
            if self._engine is None:
                self._engine = self._opened(wait_s)
        except self._failure as error:
            self._failed(error)
            return False
        return True

    def _failed(self, error: Exception) -> None:
        if self._engine is not None and not isinstance(error, self._busy):
            self._engines += self._engine.counters
            self._engine.close()
            self._engine = None
        self.trouble = str(error)
        if not self._failures:
            _log.error("session state fails; sessions are this worker's own until it works again", error=str(error))
        self._counted["failed"] += 1
        self._failed_at = self._clock()
        self._again_at = self._failed_at + TRIES_AGAIN_S[min(self._failures, len(TRIES_AGAIN_S) - 1)]
        self._failures += 1
