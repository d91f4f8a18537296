"""Arize Phoenix as a user runs it, from a venv of its own: it pins half of PyPI, and none of that is ours."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.e2e.gateway_process import free_ports

READY_S = 180.0
"""17 s on a quiet machine."""
STOP_S = 30.0
_POLL_S = 0.2
_VENV = Path(__file__).parents[2] / ".venv-phoenix"


class Phoenix:
    """One running Phoenix on free ports; its database lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        port, grpc_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        self._log_file = folder / "phoenix.log"
        self._process: asyncio.subprocess.Process | None = None
        self._environ = os.environ | {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(grpc_port),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }

    async def start(self) -> None:
        program = _VENV / "bin" / "phoenix"
        assert program.exists(), f"{program} is not there; `make e2e` installs Arize Phoenix into .venv-phoenix"
        with self._log_file.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(str(program), "serve"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environ,
            )
        try:
            async with asyncio.timeout(READY_S):
                await self._ready(self._process)
        except TimeoutError:
            raise AssertionError(f"Phoenix was not ready in {READY_S} s:\n{self.log}") from None

    async def stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    async def spans(self, project: str, count: int, within_s: float = 60.0) -> list[dict[str, Any]]:
        """The project's spans, once there are at least `count`."""
        spans: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(within_s), aiohttp.ClientSession() as session:
                while len(spans) < count:
                    await asyncio.sleep(_POLL_S)
                    spans = await _items(session, f"{self.url}/v1/projects/{project}/spans?limit=1000")
        except TimeoutError:
            raise AssertionError(f"{len(spans)} of {count} spans reached Phoenix in {within_s} s") from None
        return spans

    async def sessions(self, project: str) -> list[dict[str, Any]]:
        async with aiohttp.ClientSession() as session:
            return await _items(session, f"{self.url}/v1/projects/{project}/sessions?limit=1000")

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
                assert process.returncode is None, f"Phoenix ended at once:\n{self.log}"
                try:
                    async with session.get(f"{self.url}/healthz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass  # Not listening yet.
                await asyncio.sleep(_POLL_S)


async def _items(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    """Nothing while the project does not exist: Phoenix makes it with its first span."""
    async with session.get(url) as answer:
        if answer.status == 404:
            return []
        assert answer.status == 200, await answer.text()
        return list((await answer.json())["data"])
