"""Which nodes of a Valkey do not answer: nobody asks these, until one of our own questions is answered again."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from gateway.state.fallback import STEADY_S

_log = structlog.get_logger("gateway.state")


class _Down:
    def __init__(self) -> None:
        self.failures = 0
        self.failed_at = 0.0
        self.asking: asyncio.Task[None] | None = None


class Nodes:
    """By name; "" is all of them together, while none could be reached yet."""

    def __init__(
        self, works: Callable[[str, bytes], Awaitable[bool]], counters: Counter[str], tries_s: tuple[float, ...]
    ) -> None:
        """`works`: whether a node answers now, by a name in its part; takes bounded time, never raises."""
        self._works = works
        self._counters = counters
        self._tries_s = tries_s
        self._nodes: dict[str, _Down] = {}
        self.all_up = True
        self.trouble: str | None = None
        """Why one does not answer."""
        self.back = asyncio.Event()
        """Set when one answers again; whoever waits for that clears it."""

    def up(self, node: str) -> bool:
        return self.all_up or (found := self._nodes.get(node)) is None or found.asking is None

    def failed(self, node: str, name: bytes, error: BaseException) -> None:
        """`name`: what was asked for there."""
        self._counters["failed"] += 1
        down = self._nodes.setdefault(node, _Down())
        if down.asking is not None:
            return
        now = time.monotonic()
        if down.failures and now - down.failed_at >= STEADY_S:
            down.failures = 0
        if not down.failures:
            what = str(error) or type(error).__name__
            _log.error("session state fails; sessions there are this worker's own until it works again", error=what)
        self.all_up = False
        self.trouble = f"session state fails: {str(error) or type(error).__name__}"
        down.failed_at = now
        down.asking = asyncio.create_task(self._ask(node, name, down), name=f"ask session state {node}")

    async def _ask(self, node: str, name: bytes, down: _Down) -> None:
        while True:
            await asyncio.sleep(self._tries_s[min(down.failures, len(self._tries_s) - 1)])
            down.failures += 1
            if await self._works(node, name):
                break
        down.asking = None
        down.failed_at = time.monotonic()
        self.all_up = all(each.asking is None for each in self._nodes.values())
        self.trouble = None if self.all_up else self.trouble
        self.back.set()
        _log.info("session state works again")

    def close(self) -> None:
        for each in self._nodes.values():
            if each.asking is not None:
                each.asking.cancel()
