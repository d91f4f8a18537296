"""Several workers behind one address: all of them serve, and each can die alone."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.demo.model import BuiltinModel
from gateway.state.lmdb import LmdbState
from gateway.state.secret import kept_secret
from tests.app.conftest import DEADLINE_S, Caller, WatchedGateway, gone
from tests.e2e.span_sink import SpanSink
from tests.state.test_lmdb import Peer


def two(folder: Path) -> dict[str, Any]:
    """Two workers; the harness' own extensions and the state that they share."""
    extensions = ["health_check", "console", "storage", "session_state"]
    return {
        "extensions": {"session_state": {"url": f"lmdb:{folder / 'state'}"}},
        "service": {"workers": 2, "extensions": extensions},
    }


CONNECTIONS = 64
"""The kernel deals new connections by a hash of their ports: that one of two workers gets none has a chance of 2^-63."""


_RETRIED_S = 9.0
"""Within ten seconds."""


@pytest.fixture
async def gateway(model: BuiltinModel, tmp_path: Path) -> AsyncIterator[WatchedGateway]:
    async with WatchedGateway(tmp_path, model.url, two(tmp_path)) as gateway:
        await ready(gateway)
        yield gateway


async def ready(gateway: WatchedGateway) -> None:
    """All of it: health answers as soon as there is one worker."""
    while "spangate is ready" not in gateway.log:
        await asyncio.sleep(0.02)


@pytest.fixture
async def strangers(gateway: WatchedGateway) -> AsyncIterator[Caller]:
    """A client that makes a new connection for each call."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
        yield Caller(gateway, session)


async def test_new_connections_are_spread_and_all_that_was_said_is_stored_once(
    gateway: WatchedGateway, strangers: Caller
) -> None:
    said = await gateway.healthy(200, workers=2)
    assert said["workers_expected"] == 2
    assert "2 workers" in gateway.log
    await strangers.calls(CONNECTIONS)
    await gateway.stop()
    assert strangers.statuses == [200] * CONNECTIONS
    totals = gateway.all_totals()
    assert {each["process"] for each in totals} == {"worker 1", "worker 2"}
    assert all(each["exchanges"] > 0 for each in totals)
    for counted in ("exchanges", "finished"):
        assert sum(each[counted] for each in totals) == CONNECTIONS
    assert sum(each["store"]["sent"] for each in totals) == CONNECTIONS
    assert sorted(exchange for exchange, _ in gateway.stored()) == sorted(strangers.exchanges)


async def test_a_worker_killed_under_load_costs_what_ran_there_and_nothing_more(
    gateway: WatchedGateway, caller: Caller
) -> None:
    at_once, calls = 8, 300
    lost: list[aiohttp.ClientError] = []

    async def client(numbers: "asyncio.Queue[int]") -> None:
        while not numbers.empty():
            number = numbers.get_nowait()
            try:
                await caller.call(f"Question {number}")
            except aiohttp.ClientError as error:
                lost.append(error)

    numbers: asyncio.Queue[int] = asyncio.Queue()
    for number in range(calls):
        numbers.put_nowait(number)
    first, second = gateway.children("worker")
    clients = [asyncio.create_task(client(numbers)) for _ in range(at_once)]
    while len(caller.statuses) < calls // 4:
        await asyncio.sleep(0)
    os.kill(first, signal.SIGKILL)
    await gone(first)
    await asyncio.gather(*clients)
    assert len(lost) <= at_once
    assert Counter(caller.statuses) == {200: calls - len(lost)}
    await gateway.healthy(200, workers=2)
    assert second in gateway.children("worker")
    assert first not in gateway.children("worker")


async def test_who_was_dealt_to_a_dead_worker_is_served_by_its_replacement(
    gateway: WatchedGateway, strangers: Caller
) -> None:
    first, _ = gateway.children("worker")
    os.kill(first, signal.SIGKILL)
    await gone(first)
    waiting = asyncio.create_task(strangers.calls(CONNECTIONS, at_once=CONNECTIONS))
    assert (await gateway.healthy(200, workers=1))["workers_expected"] == 2
    await waiting
    assert strangers.statuses == [200] * CONNECTIONS
    await gateway.stop()
    totals = gateway.all_totals()
    assert sum(each["exchanges"] for each in totals) == CONNECTIONS
    assert all(each["exchanges"] > 0 for each in totals)


async def test_a_stop_lets_every_worker_finish_what_it_runs(
    gateway: WatchedGateway, strangers: Caller, model: BuiltinModel
) -> None:
    pace = model.manual_pace()
    running = asyncio.create_task(strangers.calls(CONNECTIONS, at_once=CONNECTIONS))
    await model.received(CONNECTIONS)
    gateway.process.send_signal(signal.SIGTERM)
    pace.release_all()
    await running
    await gateway.stop()
    assert strangers.statuses == [200] * CONNECTIONS
    assert Counter(end for _, end in gateway.stored()) == {"finished": CONNECTIONS}


class ResourceSink(SpanSink):
    """Knows the resources of what came, too."""

    def __init__(self) -> None:
        super().__init__()
        self.instances: set[str] = set()

    def took(self, message: ExportTraceServiceRequest) -> None:
        for each in message.resource_spans:
            said = {attribute.key: attribute.value.string_value for attribute in each.resource.attributes}
            self.instances.add(said["service.instance.id"])


async def test_each_worker_is_an_instance_of_its_own_to_a_store_of_spans(model: BuiltinModel, tmp_path: Path) -> None:
    async with ResourceSink() as sink:
        config = sink.config | two(tmp_path)
        config["service"] |= sink.config["service"]
        async with (
            WatchedGateway(tmp_path, model.url, config) as gateway,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        ):
            caller = Caller(gateway, session)
            await caller.calls(CONNECTIONS)
            for exchange in caller.exchanges:
                await sink.span(exchange)
        assert len(sink.instances) == 2


def in_order(count: int) -> list[tuple[int, bool]]:
    """The sequence of a session, whose first exchange is its header."""
    return [(number, number == 1) for number in range(1, count + 1)]


@pytest.mark.parametrize(
    "names",
    [{"x-session-id": "talk"}, {"x-claude-code-session-id": "talk", "authorization": "Bearer k"}],
    ids=["explicit", "borrowed, so of the key's owner alone"],
)
async def test_a_session_is_one_whichever_worker_serves_it_and_after_kills_and_restarts(
    model: BuiltinModel, tmp_path: Path, names: dict[str, str]
) -> None:
    served = 0
    for end in ("kill", "stop"):
        async with (
            WatchedGateway(tmp_path, model.url, two(tmp_path)) as gateway,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        ):
            await ready(gateway)
            caller = Caller(gateway, session, names)
            await caller.calls(CONNECTIONS)
            served += CONNECTIONS
            if end == "kill":
                await gateway.stores(served)
                for pid in gateway.children("worker"):
                    os.kill(pid, signal.SIGKILL)
                    await gone(pid)
                await caller.calls(CONNECTIONS)
                served += CONNECTIONS
            await gateway.stop()
        assert caller.statuses.count(200) == len(caller.statuses)
    [sequence] = gateway.sequences().values()
    numbers = [number for number, _ in sequence]
    assert numbers == sorted(set(numbers)), "no place was given away twice"
    assert numbers[-1] == served
    assert [number for number, header in sequence if header] == [1]


async def test_a_conversation_that_names_nothing_is_one_session_over_all_workers(
    gateway: WatchedGateway, strangers: Caller
) -> None:
    talks, turns = 8, 12

    async def talk(number: int) -> None:
        said = [{"role": "user", "content": f"Talk {number} is about whales. Question 0?"}]
        for turn in range(1, turns + 1):
            answer = json.loads(await strangers.ask(said))
            said += [answer["choices"][0]["message"], {"role": "user", "content": f"Question {turn}?"}]

    await asyncio.gather(*(talk(number) for number in range(talks)))
    await gateway.stop()
    assert sorted(len(found) for found in gateway.sequences().values()) == [turns] * talks


async def test_a_retry_that_another_worker_serves_joins_the_first_attempt(gateway: WatchedGateway) -> None:
    """The same bytes, and no word about it: all of them at one worker each has a chance of 2^-32."""
    pairs, joined, names = 32, 0, iter(range(1_000_000))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        caller = Caller(gateway, session, model="demo-error-503")
        while joined < pairs:
            text = f"Question {next(names)}"
            began = time.monotonic()
            first = await caller.session_of(text)
            await gateway.stores(len(caller.exchanges))
            again = await caller.session_of(text)
            if time.monotonic() - began < _RETRIED_S:  # else this machine stood still, and it is no retry
                assert again == first
                joined += 1
    assert {*caller.statuses} == {503}


@pytest.mark.parametrize("ends_by", [signal.SIGCONT, signal.SIGKILL], ids=["goes on", "is killed"])
async def test_a_process_stopped_while_it_writes_holds_no_worker_up(
    gateway: WatchedGateway, tmp_path: Path, ends_by: int
) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        caller = Caller(gateway, session, {"x-session-id": "talk"})
        await caller.calls(CONNECTIONS)
        assert (await gateway.healthy(200))["session_state"] is None
        peer = Peer(tmp_path / "state")
        peer.stop_amid_a_transaction()
        async with asyncio.timeout(DEADLINE_S):
            while (said := await gateway.healthy(200))["session_state"] is None:
                await caller.call()
        assert f"process {peer.process.pid} holds" in said["session_state"]
        await caller.calls(CONNECTIONS)
        peer.process.send_signal(ends_by)
        peer.leave()
        async with asyncio.timeout(DEADLINE_S):
            while (await gateway.healthy(200))["session_state"] is not None:
                await asyncio.sleep(0.02)
        known = len(caller.exchanges)
        await caller.calls(CONNECTIONS)
    await gateway.stop()
    assert {*caller.statuses} == {200}
    confidence = gateway.confidences()
    assert {confidence[exchange] for exchange in caller.exchanges} == {1.0, 0.5}
    assert {confidence[exchange] for exchange in caller.exchanges[known:]} == {1.0}
    assert "session state fails" in gateway.log


async def test_two_users_who_name_the_same_session_are_kept_apart_by_all_workers(
    gateway: WatchedGateway,
) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        callers = [
            Caller(gateway, session, {"x-claude-code-session-id": "talk", "authorization": f"Bearer {key}"})
            for key in ("alice", "bob")
        ]
        for caller in callers:
            await caller.calls(CONNECTIONS // 2)
    await gateway.stop()
    found = gateway.sequences()
    assert [*found.values()] == [in_order(CONNECTIONS // 2)] * 2
    [first, beside] = sorted(found)
    assert first == "talk"
    assert beside.startswith("talk~")


async def test_workers_forget_sessions_that_are_too_old(model: BuiltinModel, tmp_path: Path) -> None:
    config = two(tmp_path)
    config["extensions"]["session_state"]["keep"] = "100ms"
    async with (
        WatchedGateway(tmp_path, model.url, config) as gateway,
        aiohttp.ClientSession() as session,
    ):
        await ready(gateway)
        await Caller(gateway, session, {"x-session-id": "talk"}).call()
        state = LmdbState(tmp_path / "state", kept_secret(tmp_path / "state"))
        async with asyncio.timeout(DEADLINE_S):
            while state.counts()["sessions"]:
                await asyncio.sleep(0.02)
        state.close()
        await gateway.stop()
    assert sum(each["session"].get("sessions_expired", 0) for each in gateway.all_totals()) == 1


async def test_the_secret_behind_principals_is_in_no_log(gateway: WatchedGateway, tmp_path: Path) -> None:
    secret = (tmp_path / "state" / "principals.key").read_bytes()
    await gateway.stop()
    assert secret.hex() not in gateway.log
    assert repr(secret) not in gateway.log


async def test_a_state_that_cannot_be_had_is_said_at_the_start(tmp_path: Path, model: BuiltinModel) -> None:
    (tmp_path / "state").touch()
    gateway = WatchedGateway(tmp_path, model.url, two(tmp_path))
    with pytest.raises(AssertionError, match="extensions::session_state::url"):
        await gateway.start()
