"""From the command to the last stored exchange: starting, refusing to start, stopping."""

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml

from gateway.demo.model import BuiltinModel
from tests.app.conftest import DEADLINE_S, Caller, WatchedGateway
from tests.e2e.gateway_process import free_ports


async def failed_run(config: Path) -> tuple[int, list[str]]:
    """Exit code and lines of stderr of a gateway that is not expected to stay."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "run", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, errors = await process.communicate()
    assert out == b""
    assert process.returncode is not None
    return process.returncode, errors.decode().splitlines()


async def test_a_stopping_gateway_finishes_what_runs_and_stores_it(
    gateway: WatchedGateway, caller: Caller, model: BuiltinModel
) -> None:
    assert "spangate is ready" in gateway.log
    assert (await gateway.healthy(200))["workers"] == 1
    pace = model.manual_pace()
    running = asyncio.create_task(caller.call())
    await model.received()
    idle, idle_writer = await asyncio.open_connection("127.0.0.1", urlsplit(gateway.url).port)
    idle_writer.write(b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n")
    assert b"200" in await idle.readuntil(b"\r\n\r\n")
    gateway.process.send_signal(signal.SIGTERM)
    assert await idle.read() == b""  # it drains
    idle_writer.close()
    assert not running.done()
    pace.release()
    assert b"choices" in await running
    await gateway.stop()
    assert caller.statuses == [200]
    assert gateway.stored() == [(caller.exchanges[0], "finished")]


async def test_ctrl_c_stops_it_as_cleanly(gateway: WatchedGateway, caller: Caller) -> None:
    await caller.call()
    gateway.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(DEADLINE_S):
        assert await gateway.process.wait() == 0
    assert [exchange for exchange, _ in gateway.stored()] == caller.exchanges


@pytest.mark.parametrize(
    "key", ["receivers::llm::endpoint", "extensions::console::endpoint", "extensions::health_check::endpoint"]
)
async def test_a_port_in_use_is_said_with_its_key_and_the_remedy(tmp_path: Path, key: str) -> None:
    config = WatchedGateway(tmp_path, "http://127.0.0.1:9").config_file
    written = yaml.safe_load(config.read_text())
    section, name, _ = key.split("::")
    host, _, port = written[section][name]["endpoint"].partition(":")
    with socket.create_server((host, int(port))):
        code, errors = await failed_run(config)
    assert code == 1
    (line,) = [line for line in errors if key in line]
    assert line.startswith("Error: ")
    assert port in line
    assert "top what" in line
    assert not any("Traceback" in line for line in errors)


async def test_every_mistake_of_a_configuration_is_said_at_once(tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    (port,) = free_ports(1)
    config.write_text(
        yaml.safe_dump(
            {
                "receivers": {"llm": {"endpoint": f"127.0.0.1:{port}", "capture_max": "plenty", "nonsense": 1}},
                "exporters": {"store": {}, "otlp_http": {"endpoint": "nowhere"}},
                "service": {"pipelines": {"traces": {"receivers": ["llm"], "exporters": ["store", "missing"]}}},
            }
        )
    )
    code, errors = await failed_run(config)
    assert code == 1
    said = [line for line in errors if line.startswith("Error: ")]
    for place in ("llm::capture_max", "llm::nonsense", "otlp_http::endpoint", "missing"):
        assert [line for line in said if place in line], place


def databases(folder: Path) -> list[Path]:
    return [*folder.rglob("*.db")]


async def test_a_gateway_that_keeps_nothing_is_healthy_and_makes_no_database(
    model: BuiltinModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = {
        "exporters": {"debug": {}},
        "service": {"extensions": ["health_check"], "pipelines": {"traces": {"exporters": ["debug"]}}},
    }
    async with WatchedGateway(tmp_path, model.url, config) as gateway, aiohttp.ClientSession() as session:
        caller = Caller(gateway, session)
        await caller.call()
        assert (await gateway.healthy(200))["workers"] == 1
    assert caller.statuses == [200]
    assert databases(tmp_path) == []


async def test_the_receiver_of_the_pipeline_is_the_one_that_listens(model: BuiltinModel, tmp_path: Path) -> None:
    [other] = free_ports(1)
    spare = {"llm/spare": {"endpoint": f"127.0.0.1:{other}"}}
    gateway = WatchedGateway(tmp_path, model.url)
    written = yaml.safe_load(gateway.config_file.read_text())
    written["receivers"] = {**spare, **written["receivers"]}
    gateway.config_file.write_text(yaml.safe_dump(written, sort_keys=False))
    async with gateway, aiohttp.ClientSession() as session:
        caller = Caller(gateway, session)
        await caller.call()
        with pytest.raises(OSError, match=str(other)):
            await asyncio.open_connection("127.0.0.1", other)
    assert caller.statuses == [200]


async def test_whatever_was_counted_is_said_at_the_end(gateway: WatchedGateway, caller: Caller) -> None:
    for _ in range(2):
        await caller.call()
    await gateway.stop()
    totals = gateway.totals()
    assert totals["session"] == {}
    assert totals["llm"]["malformed"] == 0
    assert totals["store"]["sent"] == 2
    known = totals["known_messages"]
    assert (known["hits"], known["evicted"]) == (known["misses"], 0), "the second call says the same again"
    assert known["bytes"] > 0
    [last] = [json.loads(line) for line in gateway.log.splitlines() if "control plane stopped" in line]
    assert (last["link"]["received"], last["store"]["stored"], last["store"]["dropped"]) == (2, 2, 0)
    assert last["console"] == {"logins_forgotten": 0, "attempts_forgotten": 0}


async def test_protobuf_without_its_fast_core_is_said_at_the_start(model: BuiltinModel, tmp_path: Path) -> None:
    slow = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    async with WatchedGateway(tmp_path, model.url, environ=slow) as gateway:
        assert "protobuf runs without upb" in gateway.log


async def test_a_folder_that_is_called_like_the_program_is_not_run(
    model: BuiltinModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "__init__.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    async with WatchedGateway(tmp_path, model.url) as gateway, aiohttp.ClientSession() as session:
        caller = Caller(gateway, session)
        await caller.call()
    assert caller.statuses == [200]
    assert not (tmp_path / "ran").exists()
