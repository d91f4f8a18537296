"""The real gateway as processes, seen from outside: its children, what it stored, what it counted when it went."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway

DEADLINE_S = 60.0
"""Far more than anything takes: these machines are shared and noisy."""
_POLL_S = 0.02


class WatchedGateway(Gateway):
    """A gateway whose processes can be told apart."""

    def __init__(
        self,
        folder: Path,
        model_url: str,
        config: dict[str, Any] | None = None,
        environ: dict[str, str] | None = None,
    ) -> None:
        super().__init__(folder, model_url, config, environ)
        self._folder = folder

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The supervisor."""
        assert self._process is not None
        return self._process

    def child(self, command: str) -> int:
        """The pid of the one child that runs `gateway <command>`."""
        (pid,) = self.children(command)
        return pid

    def children(self, command: str) -> list[int]:
        return [pid for pid in _children(self.process.pid) if _runs(pid, command)]

    def stored(self) -> list[tuple[str, str]]:
        """(exchange, how it ended) of every row, in no order."""
        connection = sqlite3.connect(f"file:{self._folder / 'spangate.db'}?mode=ro", uri=True)
        try:
            return connection.execute("SELECT id, end FROM exchanges").fetchall()
        finally:
            connection.close()

    async def stores(self, count: int) -> None:
        """Until it has so many rows: a worker that is killed takes along what it had not sent yet."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.stored()) < count:
                await asyncio.sleep(_POLL_S)

    def sequences(self) -> dict[str, list[tuple[int, bool]]]:
        """(sequence, header) of each exchange, by session, in order."""
        connection = sqlite3.connect(f"file:{self._folder / 'spangate.db'}?mode=ro", uri=True)
        try:
            found: dict[str, list[tuple[int, bool]]] = {}
            rows = connection.execute(
                "SELECT session_id, session_sequence, session_header FROM exchanges ORDER BY session_sequence"
            )
            for session, sequence, header in rows:
                found.setdefault(session, []).append((sequence, bool(header)))
            return found
        finally:
            connection.close()

    def confidences(self) -> dict[str, float]:
        """How sure each exchange's session is."""
        connection = sqlite3.connect(f"file:{self._folder / 'spangate.db'}?mode=ro", uri=True)
        try:
            return dict(connection.execute("SELECT id, session_confidence FROM exchanges"))
        finally:
            connection.close()

    async def healthy(self, status: int, workers: int | None = None) -> dict[str, Any]:
        """What health says, once it answers with this status, and knows of so many workers."""
        async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(self._health_url) as answer:
                        said: dict[str, Any] = await answer.json()
                        if answer.status == status and workers in (None, said["workers"]):
                            return said
                except aiohttp.ClientError:
                    pass  # the control plane is being replaced
                await asyncio.sleep(_POLL_S)

    def totals(self) -> dict[str, Any]:
        """What the worker counted, from its last words."""
        return self.all_totals()[-1]

    def all_totals(self) -> list[dict[str, Any]]:
        """Of every worker that ended by itself, in no order; `process` tells which."""
        return [json.loads(line) for line in self.log.splitlines() if "worker stopped" in line]


class Caller:
    """A client of the gateway's that keeps what it was answered."""

    def __init__(
        self,
        gateway: Gateway,
        session: aiohttp.ClientSession,
        headers: dict[str, str] | None = None,
        model: str = "demo",
    ) -> None:
        self._headers = headers or {}
        self._model = model
        self.statuses: list[int] = []
        self.exchanges: list[str] = []
        self._url = f"{gateway.openai_url}/chat/completions"
        self._session = session

    async def call(self, text: str = "What is a span?") -> bytes:
        return await self.ask([{"role": "user", "content": text}])

    async def ask(self, messages: list[dict[str, str]]) -> bytes:
        return (await self._answer(messages))[0]

    async def session_of(self, text: str) -> str:
        """As the answer's header says."""
        return (await self._answer([{"role": "user", "content": text}]))[1]["x-spangate-session"]

    async def _answer(self, messages: list[dict[str, str]]) -> tuple[bytes, Mapping[str, str]]:
        body = {"model": self._model, "messages": messages}
        async with self._session.post(self._url, json=body, headers=self._headers) as answer:
            read = await answer.read()
            self.statuses.append(answer.status)
            self.exchanges.append(answer.headers["x-spangate-exchange"])
            return read, answer.headers

    async def calls(self, count: int, at_once: int = 8) -> None:
        left = iter(range(count))

        async def one_after_the_other() -> None:
            for number in left:
                await self.call(f"Question {number}")

        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))


@pytest.fixture
async def model() -> AsyncIterator[BuiltinModel]:
    async with BuiltinModel() as model:
        yield model


@pytest.fixture
async def gateway(model: BuiltinModel, tmp_path: Path) -> AsyncIterator[WatchedGateway]:
    async with WatchedGateway(tmp_path, model.url) as gateway:
        yield gateway


@pytest.fixture
async def caller(gateway: WatchedGateway) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(gateway, session)


async def gone(pid: int) -> None:
    """Until this process, anybody's child, has ended."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(watched, ended.set)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await ended.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _runs(pid: int, command: str) -> bool:
    return command.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
