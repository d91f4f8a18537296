"""When the built-in model's next event may leave. No clocks."""

import asyncio


class Signal:
    """Wakes everyone who waits for a change; each then looks for itself whether it was the one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def changed(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()


class FreePace:
    """At once."""

    async def turn(self) -> None:
        return


class ManualPace:
    """When the test says so: each streamed event, and each whole answer, takes one release."""

    def __init__(self) -> None:
        self._released = 0
        self._free = False
        self._standing = 0
        self._signal = Signal()

    def release(self, events: int = 1) -> None:
        """Let the next `events` events leave, now or as soon as they are there."""
        self._released += events
        self._signal.changed()

    def release_all(self) -> None:
        """Let everything leave from now on."""
        self._free = True
        self._signal.changed()

    async def standing(self, answers: int = 1) -> None:
        """Until that many answers stand still, each before its next event, with no release left."""
        while self._standing < answers or self._released:
            await self._signal.wait()

    async def turn(self) -> None:
        self._standing += 1
        self._signal.changed()
        try:
            while not (self._free or self._released):
                await self._signal.wait()
        finally:
            self._standing -= 1
        if not self._free:
            self._released -= 1
