"""A store as a user runs it, from a venv of its own: it pins half of PyPI, and none of that is ours."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import aiohttp

READY_S = 180.0
"""Up to 17 s on a quiet machine."""
STOP_S = 30.0
POLL_S = 0.2
_ROOT = Path(__file__).parents[2]


class Served:
    """One running server; what it prints lies in `folder`."""

    def __init__(
        self, program: str, arguments: list[str], environ: Mapping[str, str], health: str, folder: Path
    ) -> None:
        """`program`: below the repository; `health`: a URL that answers 200 once it is ready."""
        self._program = _ROOT / program
        self._arguments = arguments
        self._environ = os.environ | environ
        self._health = health
        self._folder = folder
        self._log_file = folder / "server.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        assert self._program.exists(), f"{self._program} is not there; `make e2e` installs it"
        with self._log_file.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(str(self._program), *self._arguments),
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environ,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(READY_S):
                await self._ready(self._process)
        except TimeoutError:
            raise AssertionError(f"{self._program.name} was not ready in {READY_S} s:\n{self.log}") from None

    async def stop(self) -> None:
        """With all that it started."""
        if self._process is None or self._process.returncode is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                assert process.returncode is None, f"{self._program.name} ended at once:\n{self.log}"
                try:
                    async with session.get(self._health) as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass  # Not listening yet.
                await asyncio.sleep(POLL_S)
