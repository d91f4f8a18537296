"""Policy files that change under a running gateway: real traffic, real processes."""

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from gateway.demo.model import BuiltinModel
from tests.app.conftest import DEADLINE_S, Caller, WatchedGateway

_POLL_S = 0.02


class Folder:
    """Sets of policy files, one of them in force by a link that is replaced at once."""

    def __init__(self, folder: Path) -> None:
        self.glob = str(folder / "current" / "*.yaml")
        self._folder = folder
        self.set_of: dict[str, int] = {}
        """Which set a version is of."""

    def put(self, number: int, **changes: str) -> None:
        """Enforcers in line on either end of the alphabet, an observer, and one that looks at answers."""
        made = self._folder / f"set-{number}"
        made.mkdir()
        for name in ("a", "m", "z"):
            keys = {
                "agent": name,
                "role": "observer" if name == "m" else "enforcer",
                "directions": "[inlet, response]",
                "detect": f"{{c: {{keywords: [nightjar, word{number}]}}}}",
                "intent": "block",
                "message": f"This is set {number}.",
                **changes,
            }
            content = "\n".join(f"{key}: {value}" for key, value in keys.items())
            (made / f"{name}.yaml").write_text(content)
            self.set_of[sha256(content.encode()).hexdigest()[:12]] = number
        link = self._folder / "next"
        link.symlink_to(made)
        os.replace(link, self._folder / "current")


@pytest.fixture
def policies(tmp_path: Path) -> Folder:
    (tmp_path / "policies").mkdir()
    folder = Folder(tmp_path / "policies")
    folder.put(1)
    return folder


@pytest.fixture
async def reloading(model: BuiltinModel, tmp_path: Path, policies: Folder) -> AsyncIterator[WatchedGateway]:
    config = {
        "processors": {"session": {}, "policy": {"files": [policies.glob]}},
        "service": {"pipelines": {"traces": {"processors": ["session", "policy"]}}},
    }
    async with WatchedGateway(tmp_path, model.url, config) as gateway:
        yield gateway


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not happened():
            await asyncio.sleep(_POLL_S)


async def refused_by(caller: Caller, words: str) -> None:
    """Until a call with the word is refused in these words."""
    async with asyncio.timeout(DEADLINE_S):
        while words not in (await caller.call("the nightjar")).decode():
            await asyncio.sleep(_POLL_S)


def judged(folder: Path) -> dict[str, set[str]]:
    """By exchange, the versions of those that judged it."""
    connection = sqlite3.connect(f"file:{folder / 'spangate.db'}?mode=ro", uri=True)
    try:
        found: dict[str, set[str]] = {}
        for exchange, version in connection.execute("SELECT exchange_id, version FROM assessments"):
            found.setdefault(exchange, set()).add(version)
        return found
    finally:
        connection.close()


async def test_each_exchange_is_judged_by_one_set_while_the_folder_is_replaced(
    reloading: WatchedGateway, policies: Folder, tmp_path: Path
) -> None:
    async with aiohttp.ClientSession() as session:
        traffic = Caller(reloading, session)
        asked = Caller(reloading, session)
        flowing = True

        async def flow() -> None:
            while flowing:
                await traffic.call()
                await asyncio.sleep(_POLL_S)

        streams = [asyncio.create_task(flow()) for _ in range(4)]
        await refused_by(asked, "This is set 1.")
        for number in (2, 3):
            policies.put(number)
            await refused_by(asked, f"This is set {number}.")
        flowing = False
        await asyncio.gather(*streams)
    await reloading.stores(len({*traffic.exchanges, *asked.exchanges}))
    await reloading.stop()
    assert set(traffic.statuses) == {200}
    by_exchange = judged(tmp_path)
    assert by_exchange.keys() == {*traffic.exchanges, *asked.exchanges}
    sets = [{policies.set_of[version] for version in versions} for versions in by_exchange.values()]
    assert {len(each) for each in sets} == {1}
    assert {number for each in sets for number in each} == {1, 2, 3}
    assert reloading.totals()["policy_files"] == {"reloads": 2}


async def test_a_bad_file_is_refused_and_the_old_agents_stay(reloading: WatchedGateway, policies: Folder) -> None:
    def told() -> list[str]:
        return [
            line["error"] for line in map(json.loads, _json_lines(reloading.log)) if "agents in force" in line["event"]
        ]

    async with aiohttp.ClientSession() as session:
        asked = Caller(reloading, session)
        policies.put(2, role="tyrant", when="provder == 1")
        await until(lambda: len(told()) >= 6)
        assert "z.yaml::role: must be 'observer' or 'enforcer'" in told()[4].rpartition("/")[2]
        await refused_by(asked, "This is set 1.")
        reloading.process.send_signal(signal.SIGHUP)  # read again, though nothing changed
        await until(lambda: len(told()) >= 12)
        await refused_by(asked, "This is set 1.")
        policies.put(3)
        reloading.process.send_signal(signal.SIGHUP)
        await refused_by(asked, "This is set 3.")
    await reloading.stop()
    counted = reloading.totals()["policy_files"]
    assert (counted["reloads"], counted["reloads_refused"]) == (1, 2)


def _json_lines(log: str) -> list[str]:
    return [line for line in log.splitlines() if line.startswith("{")]


async def test_a_closed_terminal_ends_no_process(reloading: WatchedGateway) -> None:
    before = {command: reloading.children(command) for command in ("worker", "control-plane")}
    for pid in (pid for pids in before.values() for pid in pids):
        os.kill(pid, signal.SIGHUP)
    async with aiohttp.ClientSession() as session:
        await refused_by(Caller(reloading, session), "This is set 1.")
    assert {command: reloading.children(command) for command in before} == before
