"""Two gateways of two workers each that share sessions in one Valkey: whoever serves a call, its session is the same."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.demo.model import BuiltinModel
from tests.app.conftest import DEADLINE_S, Caller, WatchedGateway
from tests.state.valkey_servers import PROGRAMS, Server

_CALLS = 16


@pytest.fixture
def valkey() -> Iterator[Server]:
    server = Server(next(iter(PROGRAMS.values())))
    yield server
    server.close()


@pytest.fixture
async def gateways(model: BuiltinModel, valkey: Server, tmp_path: Path) -> AsyncIterator[list[WatchedGateway]]:
    async with contextlib.AsyncExitStack() as stack:
        gateways = []
        for name in ("one", "other"):
            folder = tmp_path / name
            folder.mkdir()
            gateway = await stack.enter_async_context(WatchedGateway(folder, model.url, sharing(valkey)))
            while "spangate is ready" not in gateway.log:
                await asyncio.sleep(0.02)
            gateways.append(gateway)
        yield gateways


def sharing(valkey: Server) -> dict[str, Any]:
    """`timeout`: on a machine as busy as it likes."""
    return {
        "extensions": {"session_state": {"url": valkey.url, "timeout": "60s"}},
        "processors": {"session": {"window": "24h", "lineage": True}},
        "service": {"workers": 2, "extensions": ["health_check", "console", "storage", "session_state"]},
    }


async def test_calls_of_one_session_at_the_same_moment_are_counted_in_one(gateways: list[WatchedGateway]) -> None:
    """By a borrowed id: it is one session only if all gateways make the same principal of the key."""
    headers = {"authorization": "Bearer sk-of-one-caller", "session-id": "talk", "user-agent": "codex_cli_rs/1"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
        callers = [Caller(gateway, session, headers) for gateway in gateways]
        await asyncio.gather(*(caller.call() for caller in callers for _ in range(_CALLS)))
    for gateway in gateways:
        await gateway.stores(_CALLS)
    found = [gateway.sequences() for gateway in gateways]
    assert [set(each) for each in found] == [{"talk"}, {"talk"}]
    counted = sorted(found[0]["talk"] + found[1]["talk"])
    assert counted == [(number, number == 1) for number in range(1, 2 * _CALLS + 1)]


async def test_two_first_prompts_of_a_user_at_the_same_moment_begin_one_session(gateways: list[WatchedGateway]) -> None:
    headers = {"authorization": "Bearer sk-of-one-caller", "x-user-id": "alice"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
        callers = [Caller(gateway, session, headers) for gateway in gateways]
        await asyncio.gather(*(caller.call() for caller in callers))
    for gateway in gateways:
        await gateway.stores(1)
    [[one], [other]] = [list(gateway.sequences().items()) for gateway in gateways]
    assert one[0] == other[0]
    assert sorted(one[1] + other[1]) == [(1, True), (2, False)]


async def test_a_conversation_without_an_id_goes_on_at_the_other_gateway(
    gateways: list[WatchedGateway], valkey: Server
) -> None:
    headers = {"authorization": "Bearer sk-of-one-caller"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
        one, other = (Caller(gateway, session, headers) for gateway in gateways)
        said = [{"role": "user", "content": "What is a span?"}]
        answer = json.loads(await one.ask(said))["choices"][0]["message"]["content"]
        async with asyncio.timeout(DEADLINE_S):
            while not any(name.startswith(b"sg:k:") for name in valkey.names()):
                await asyncio.sleep(0.02)
        more = {"role": "user", "content": "And a trace?"}
        await other.ask([*said, {"role": "assistant", "content": answer}, more])
    for gateway in gateways:
        await gateway.stores(1)
    [[begun], [continued]] = [list(gateway.sequences().items()) for gateway in gateways]
    assert begun[0] == continued[0]
    assert [begun[1], continued[1]] == [[(1, True)], [(2, False)]]
