"""The real gateway as a user starts it: a process of its own, a config file, ports, a data folder; ended by SIGTERM."""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

READY_S = 60.0
"""Far more than it takes (1-2 s): these machines are shared and noisy."""
STOP_S = 30.0
TOKEN = "e2e-administrator"
PROVIDERS = ("openai", "anthropic", "gemini", "vertex", "mistral", "cohere", "ollama")
_POLL_S = 0.05


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Gateway:
    """One running gateway. `config` is merged over the harness's own, section by section."""

    def __init__(
        self, folder: Path, model_url: str, config: dict[str, Any] | None = None, environ: dict[str, str] | None = None
    ) -> None:
        proxy, console, health = free_ports(3)
        self.url = f"http://127.0.0.1:{proxy}"
        self.openai_url = f"{self.url}/openai/v1"
        self.anthropic_url = f"{self.url}/anthropic"
        self.console_url = f"http://127.0.0.1:{console}"
        self.config_file = folder / "gateway.yaml"
        self._health_url = f"http://127.0.0.1:{health}/"
        self._log_file = folder / "gateway.log"
        self._environ = os.environ | {"SPANGATE_ADMIN_TOKEN": TOKEN} | (environ or {})
        self._process: asyncio.subprocess.Process | None = None
        written = merged(_config(folder, model_url, proxy, console, health), config or {})
        self.config_file.write_text(yaml.safe_dump(written, sort_keys=False))

    async def start(self) -> None:
        with self._log_file.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "gateway", "run", "--config", str(self.config_file)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environ,
            )
        try:
            async with asyncio.timeout(READY_S):
                await self._ready(self._process)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise AssertionError(f"the gateway was not ready in {READY_S} s:\n{self.log}") from None

    async def stop(self) -> None:
        """SIGTERM; then it must go by itself, cleanly."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise AssertionError(f"the gateway did not stop in {STOP_S} s:\n{self.log}") from None
        assert code == 0, f"exit code {code}:\n{self.log}"
        assert "Traceback" not in self.log, self.log

    @property
    def log(self) -> str:
        """What it printed so far."""
        return self._log_file.read_text(errors="replace")

    async def cli(self, *arguments: str) -> str:
        """Another `spangate` command on the same configuration; its standard output."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "gateway", *arguments, "--config", str(self.config_file)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ,
        )
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return out.decode()

    async def sessions(self) -> list[dict[str, Any]]:
        """What `spangate sessions list --json` says."""
        listed = json.loads(await self.cli("sessions", "list", "--json"))
        return list(listed["items"] if isinstance(listed, dict) else listed)

    async def api(self, path: str) -> Any:
        """A JSON answer of the console's API."""
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{self.console_url}/api/v1/{path}") as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def traces(self, session_id: str, count: int) -> list[dict[str, Any]]:
        """The session's traces, once there are at least `count`: they reach the store after the answer left."""
        traces: list[dict[str, Any]] = []
        async with asyncio.timeout(READY_S):
            while len(traces) < count:
                await asyncio.sleep(_POLL_S)
                if any(session["id"] == session_id for session in (await self.api("sessions"))["items"]):
                    traces = (await self.api(f"sessions/{session_id}/traces"))["items"]
        return traces

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                assert process.returncode is None, f"the gateway ended at once:\n{self.log}"
                try:
                    async with session.get(self._health_url) as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass  # Not listening yet.
                await asyncio.sleep(_POLL_S)


def _config(folder: Path, model_url: str, proxy: int, console: int, health: int) -> dict[str, Any]:
    return {
        "extensions": {
            "health_check": {"endpoint": f"127.0.0.1:{health}"},
            "console": {"endpoint": f"127.0.0.1:{console}"},
            "storage": {"url": f"sqlite:///{folder}/spangate.db", "content": "full"},
        },
        "receivers": {
            "llm": {
                "endpoint": f"127.0.0.1:{proxy}",
                "providers": {name: {"base_url": model_url} for name in PROVIDERS},
            }
        },
        "processors": {"session": {"lineage": True}},
        "exporters": {"store": {}},
        "service": {
            "extensions": ["health_check", "console", "storage"],
            "pipelines": {"traces": {"receivers": ["llm"], "processors": ["session"], "exporters": ["store"]}},
        },
    }


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Section by section; what `over` has wins."""
    both = dict(base)
    for key, value in over.items():
        mine = both.get(key)
        both[key] = merged(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return both
