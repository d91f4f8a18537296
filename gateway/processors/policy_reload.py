"""Reads policy files again while traffic flows: when asked, and when they have changed. A bad file changes nothing."""

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog

from gateway.policy.current import CurrentPolicies
from gateway.policy.engine import PolicySet
from gateway.policy.files import PolicyFiles
from gateway.policy.load import PolicyErrors
from gateway.policy.workspaces import Workspaces
from gateway.processors.policy import PolicyConfig, PolicyProcessor, policies_of

_log = structlog.get_logger("gateway.policy")

_POLL_S = 1.0
_LINES_SHOWN = 20


class PolicyReload:
    """One worker's. Reading and compiling happen in a thread; the loop only puts the new set in the old one's place."""

    def __init__(
        self,
        config: PolicyConfig,
        workspaces: Workspaces,
        files: PolicyFiles,
        processor: PolicyProcessor,
        current: CurrentPolicies,
        taken: Callable[[], None],
    ) -> None:
        """`files`: made before the agents in force were read, so that no change between is missed. `taken`: called
        when others are in force."""
        self._config = config
        self._workspaces = workspaces
        self._files = files
        self._processor = processor
        self._current = current
        self._taken = taken
        self._asked = asyncio.Event()
        self.counters: Counter[str] = Counter()
        """`reloads`, `reloads_refused`."""

    def ask(self) -> None:
        """Read them again now, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_POLL_S):
                    await self._asked.wait()
            except TimeoutError:
                if not await asyncio.to_thread(self._files.changed):
                    continue
            self._asked.clear()
            await self.reload()

    async def reload(self) -> None:
        try:
            made = await asyncio.to_thread(self._files.reading, self._read)
        except PolicyErrors as errors:
            self._refused(errors.lines)
        except Exception as error:  # a detector of somebody else's, a compiler: the agents in force stay
            self._refused([f"the policy files cannot be used ({type(error).__name__})"])
        else:
            self._take(made)

    def _read(self) -> PolicySet:
        return policies_of(self._config, self._workspaces, self._current.now)

    def _take(self, made: PolicySet | None) -> None:
        if made is None or made.version == self._current.now.version:
            return
        self._current.now = made
        self._processor.take(made)
        self._taken()
        self.counters["reloads"] += 1
        _log.info("policy files were read again", agents=len(made.agents), version=made.version)

    def _refused(self, lines: "list[str] | tuple[str, ...]") -> None:
        self.counters["reloads_refused"] += 1
        for line in lines[:_LINES_SHOWN]:
            _log.error("the policy files have an error; the agents in force stay", error=line)
