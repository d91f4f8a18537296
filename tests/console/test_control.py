"""The control plane put together: stores what workers send, shows it, and leaves in order."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from gateway.console.config import ConsoleConfig, HealthCheckConfig
from gateway.control import ControlPlaneError, ControlSettings, run_control_plane
from gateway.link.records import ExchangeRecord
from gateway.link.uplink import Uplink, UplinkLimits
from gateway.store.config import StorageConfig
from gateway.store.queries import Reader
from tests.link.fakes import a_record


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen()
        yield listening


@pytest.fixture
def settings(tmp_path: Path) -> ControlSettings:
    return ControlSettings(
        StorageConfig(url=f"sqlite:///{tmp_path}/data/spangate.db"),
        ConsoleConfig(endpoint=f"127.0.0.1:{_free_port()}"),
        HealthCheckConfig(endpoint=f"127.0.0.1:{_free_port()}"),
        admin_token="token",
    )


@contextlib.asynccontextmanager
async def _running(settings: ControlSettings, listening: socket.socket) -> AsyncIterator[None]:
    ready, stop = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(run_control_plane(settings, listening.fileno(), ready.set, stop))
    try:
        await asyncio.wait(
            [asyncio.create_task(ready.wait()), running], timeout=10, return_when=asyncio.FIRST_COMPLETED
        )
        assert ready.is_set()
        yield
    finally:
        stop.set()
        await running


async def test_what_a_worker_sends_is_kept_shown_and_survives_a_replacement(
    settings: ControlSettings, listening: socket.socket
) -> None:
    uplink = Uplink(listening.getsockname(), "w", UplinkLimits(batch_s=0.0, backoff_s=0.001))
    uplink.start()
    uplink.send(_now("a"))
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer token"}) as client:
        async with _running(settings, listening):
            await _until(lambda: uplink.counters()["sent"] == 1)
            assert settings.console is not None
            async with client.get(f"http://{settings.console.endpoint}/api/v1/sessions/s1") as answer:
                assert (await answer.json())["exchanges"] == 1
        uplink.send(_now("b"))
        async with _running(settings, listening):
            await _until(lambda: uplink.counters()["sent"] == 2)
    await uplink.drain(1)
    assert settings.storage is not None
    reader = Reader(settings.storage.path)
    assert [row.id for row in reader.since(0)] == ["a", "b"]
    reader.close()


async def test_health_is_told_by_workers_and_store(settings: ControlSettings, listening: socket.socket) -> None:
    assert settings.health is not None
    url = f"http://{settings.health.endpoint}/"
    uplink = Uplink(listening.getsockname(), "w", UplinkLimits(batch_s=0.0, backoff_s=0.001))
    async with _running(settings, listening), aiohttp.ClientSession() as client:
        async with client.get(url) as answer:
            assert answer.status == 503
            assert (await answer.json())["reason"] == "no worker is connected"
        uplink.start()
        uplink.send(a_record())
        await _until(lambda: uplink.counters()["sent"] == 1)
        async with client.get(url) as answer:
            assert answer.status == 200
            said = await answer.json()
            assert (said["workers"], said["session_state"]) == (1, None)
        uplink.say_trouble("no space left")
        uplink.send(a_record("b"))
        await _until(lambda: uplink.counters()["sent"] == 2)
        async with client.get(url) as answer:
            assert answer.status == 200, "it relays and keeps all the same"
            assert (await answer.json())["session_state"] == "w: sessions are the worker's own (no space left)"
        await uplink.drain(1)


async def test_an_occupied_endpoint_is_one_line_with_the_remedy(
    settings: ControlSettings, listening: socket.socket
) -> None:
    assert settings.console is not None
    host, port = settings.console.endpoint.split(":")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((host, int(port)))
        other.listen()
        with pytest.raises(ControlPlaneError, match=rf"{port} is in use; stop .*extensions::console::endpoint") as said:
            await run_control_plane(settings, listening.fileno(), lambda: None, asyncio.Event())
    assert "\n" not in str(said.value)


async def test_an_unusable_database_is_said_at_the_start(settings: ControlSettings, listening: socket.socket) -> None:
    assert settings.storage is not None
    settings.storage.path.parent.mkdir()
    settings.storage.path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ControlPlaneError, match="cannot be opened"):
        await run_control_plane(settings, listening.fileno(), lambda: None, asyncio.Event())


async def test_the_token_is_shown_at_the_first_start_only(
    settings: ControlSettings, listening: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ControlSettings(settings.storage, settings.console)
    async with _running(own, listening):
        pass
    said = capsys.readouterr().err
    assert "administrator's token" in said
    assert "http://" not in said, "where the console is, `spangate run` says"
    async with _running(own, listening):
        pass
    assert capsys.readouterr().err == ""


def _now(exchange_id: str) -> ExchangeRecord:
    """One that the retention does not take away."""
    return a_record(exchange_id, session_id="s1", ended_ns=time.time_ns())


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)
