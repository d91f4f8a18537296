"""A shared engine for several workers: a client may go on before the worker that answered it has learnt from that.

A worker learns from an exchange once its answer has left, a millisecond or a few later; a client that goes on at once,
by another connection, may meet another worker before that. So what repeats earlier turns, and is found by none of its
keys, is looked for again for some milliseconds before it begins a session. That is once a conversation at most: from
then on it is found.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Protocol

from gateway.contracts import SessionState
from gateway.model.session import Claim, Lesson, Place, Thread

WAITS_S = (0.002, 0.004, 0.008, 0.016)


class Engine(SessionState, Protocol):
    def resolve(self, claim: Claim, now_ns: int) -> Place | None: ...

    def knows(self, claim: Claim) -> bool:
        """Whether one of the claim's keys was learnt; changes nothing."""


class PatientState:
    """Implements `contracts.SessionState`."""

    def __init__(self, engine: Engine, waits_s: Sequence[float] = WAITS_S) -> None:
        self._engine = engine
        self._waits_s = waits_s
        self._counted: Counter[str] = Counter()
        self.failures = engine.failures

    @property
    def trouble(self) -> str | None:
        return self._engine.trouble

    @property
    def counters(self) -> Counter[str]:
        """The engine's; `waited`: for another worker to learn, and `waited_in_vain`."""
        return self._engine.counters + self._counted

    def resolve(self, claim: Claim, now_ns: int) -> Place | Awaitable[Place | None] | None:
        if claim.named or not claim.history or not claim.keys or self._engine.knows(claim):
            return self._engine.resolve(claim, now_ns)
        return self._later(claim, now_ns)

    async def _later(self, claim: Claim, now_ns: int) -> Place | None:
        self._counted["waited"] += 1
        for wait_s in self._waits_s:
            await asyncio.sleep(wait_s)
            if self._engine.knows(claim):
                break
        else:
            self._counted["waited_in_vain"] += 1
        return self._engine.resolve(claim, now_ns)

    def learn(self, lesson: Lesson) -> Thread:
        return self._engine.learn(lesson)

    def end(self, workspace: str, session_id: str) -> None:
        self._engine.end(workspace, session_id)

    def sweep(self, now_ns: int) -> None:
        self._engine.sweep(now_ns)

    def close(self) -> None:
        self._engine.close()
