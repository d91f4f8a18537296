"""A process of the gateway's is killed: clients go on, nothing is stored twice, nobody is left behind."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import aiohttp

from gateway.demo.model import BuiltinModel
from tests.app.conftest import Caller, WatchedGateway, gone

EXCHANGES = 300


async def test_a_control_plane_killed_under_load_costs_no_exchange_and_no_row(
    gateway: WatchedGateway, caller: Caller
) -> None:
    first = gateway.child("control-plane")
    load = asyncio.create_task(caller.calls(EXCHANGES))
    async with asyncio.timeout(30):
        while len(caller.statuses) < EXCHANGES // 4:
            await asyncio.sleep(0)
    os.kill(first, signal.SIGKILL)
    await gone(first)
    await load
    assert Counter(caller.statuses) == {200: EXCHANGES}
    await gateway.healthy(200)
    assert gateway.child("control-plane") != first
    await caller.calls(8)
    await gateway.stop()
    assert sorted(exchange for exchange, _ in gateway.stored()) == sorted(caller.exchanges)
    assert len(set(caller.exchanges)) == EXCHANGES + 8


async def test_who_connects_while_the_worker_is_dead_is_served_by_its_replacement(
    gateway: WatchedGateway, caller: Caller
) -> None:
    await caller.call()
    first = gateway.child("worker")
    os.kill(first, signal.SIGKILL)
    await gone(first)
    waiting = asyncio.create_task(caller.calls(8))
    assert (await gateway.healthy(503))["reason"] == "no worker is connected"
    await waiting
    assert caller.statuses == [200] * 9
    assert (await gateway.healthy(200))["workers"] == 1
    assert gateway.child("worker") != first


async def test_children_end_by_themselves_when_the_supervisor_is_killed_and_lose_nothing(
    model: BuiltinModel, tmp_path: Path
) -> None:
    gateway = WatchedGateway(tmp_path, model.url)
    await gateway.start()
    pace = model.manual_pace()
    async with aiohttp.ClientSession() as session:
        caller = Caller(gateway, session)
        running = asyncio.create_task(caller.call())
        await model.received()
        children = [gateway.child("control-plane"), gateway.child("worker")]
        gateway.process.kill()
        assert await gateway.process.wait() == -signal.SIGKILL
        pace.release()
        await running
    for child in children:
        await gone(child)
    assert caller.statuses == [200]
    assert [exchange for exchange, _ in gateway.stored()] == caller.exchanges
