"""What `spangate run` and `spangate demo` say at the start, and that they stop when they are told to."""

import asyncio
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.defaults import embedded
from gateway.config.load import load
from gateway.config.schema import Config
from gateway.registry import REGISTRY
from gateway.run import run_demo, run_until_stop, started, unheeded_endpoint, welcome
from gateway.store.config import StorageConfig
from gateway.supervisor import StartError, Supervisor
from tests.certificates import self_signed


def _config(*overrides: str) -> Config:
    return load(REGISTRY, [embedded({})], overrides, {})


def _data(config: Config) -> Path:
    storage = config.extension(StorageConfig)
    assert storage is not None
    return storage.path.parent


def test_the_welcome_names_addresses_that_can_be_opened() -> None:
    said = welcome(_config("receivers.llm.endpoint=0.0.0.0:4000", "extensions.console.endpoint='[::]:4001'"))
    assert "http://127.0.0.1:4000/openai/v1 " in said
    assert "Console: http://[::1]:4001/" in said
    assert "http://0.0.0.0" not in said
    assert "listens on all interfaces (0.0.0.0:4000)" in said
    assert "listens on all interfaces ([::]:4001)" in said


def test_the_welcome_says_how_many_workers_there_are() -> None:
    assert f"(process {os.getpid()}, 3 workers)" in welcome(_config("service.workers=3"))
    assert f"(process {os.getpid()})" in welcome(_config())


def test_the_welcome_says_https_where_tls_is_spoken(tmp_path: Path) -> None:
    pem = self_signed(tmp_path / "localhost.pem", "localhost")
    tls = f"{{cert_file: {pem}, key_file: {pem}}}"
    said = welcome(_config(f"receivers.llm.tls={tls}", f"extensions.console.tls={tls}"))
    assert "  https://127.0.0.1:4000/openai/v1 " in said
    assert "Console: https://127.0.0.1:4001/" in said


def test_the_welcome_of_a_local_gateway_speaks_of_no_other_machines() -> None:
    said = welcome(_config())
    assert "all interfaces" not in said
    assert said.count("http://127.0.0.1:4001") == 1


class SlowSupervisor(Supervisor):
    async def start(self) -> None:
        await asyncio.Event().wait()


class FailingSupervisor(Supervisor):
    async def start(self) -> None:
        self.request_stop()  # as the real one does
        await asyncio.sleep(0)
        raise StartError("The worker did not start")


async def test_a_stop_does_not_wait_for_a_start() -> None:
    supervisor, asked = SlowSupervisor([]), asyncio.Event()
    starting = asyncio.create_task(started(supervisor, asked))
    await asyncio.sleep(0)
    asked.set()
    assert not await starting
    await supervisor.stop()


async def test_a_start_is_told_as_it_went() -> None:
    supervisor, failing = Supervisor([]), FailingSupervisor([])
    assert await started(supervisor, asyncio.Event())
    with pytest.raises(StartError, match="did not start"):
        await started(failing, asyncio.Event())
    await supervisor.stop()
    await failing.stop()


async def test_a_stop_does_not_wait_for_conversations_that_get_no_answer() -> None:
    supervisor = Supervisor([])
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.setblocking(False)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        running = asyncio.create_task(run_until_stop(["demo-traffic", url], supervisor))
        async with asyncio.timeout(60):
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            supervisor.request_stop()
            await running
        connection.close()
    await supervisor.stop()


async def test_a_command_that_ends_by_itself_leaves_the_gateway_running() -> None:
    supervisor = Supervisor([])
    await run_until_stop(["--version"], supervisor)
    running = asyncio.create_task(supervisor.wait())
    await asyncio.sleep(0)
    assert not running.done()
    supervisor.request_stop()
    await running
    await supervisor.stop()


async def test_the_demo_keeps_its_data_and_its_token_in_a_folder_of_its_own() -> None:
    folders: list[Path] = []

    def config_of(overrides: list[str]) -> Config:
        folders.append(_data(_config(*overrides)))
        raise StartError("that is enough to see")

    with pytest.raises(StartError, match="enough"):
        await run_demo(config_of, io.StringIO())
    assert folders != [_data(_config())]


ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
ELSEWHERE = "exporters: {otlp_http: {endpoint: http://elsewhere:4318}}"


@pytest.mark.parametrize("name", [ENDPOINT, TRACES])
@pytest.mark.parametrize(
    "written",
    [
        "exporters: {store: {}}",
        ELSEWHERE,
        "# endpoint: ${env:OTEL_EXPORTER_OTLP_ENDPOINT}\nexporters: {store: {}}",
        "exporters: {otlp_http: {headers: {x: '${env:OTEL_EXPORTER_OTLP_ENDPOINT_X}'}}}",
        "",
    ],
)
def test_an_endpoint_of_the_environment_that_the_file_ignores_is_said(tmp_path: Path, name: str, written: str) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(written)
    said = unheeded_endpoint(["--config", str(file)], {name: "http://secret-collector:4318"})
    assert said is not None
    assert f"endpoint: ${{env:{name}}}" in said
    assert "service::pipelines::traces::exporters" in said
    assert "secret-collector" not in said


@pytest.mark.parametrize(
    ("written", "overrides", "environment"),
    [
        ("exporters: {otlp_http: {endpoint: '${env:OTEL_EXPORTER_OTLP_ENDPOINT}'}}", [], {ENDPOINT: "http://c"}),
        ("exporters: {otlp_http: {endpoint: '${OTEL_EXPORTER_OTLP_ENDPOINT}'}}", [], {ENDPOINT: "http://c"}),
        ("exporters: {otlp_http: {endpoint: '${OTEL_EXPORTER_OTLP_ENDPOINT:-http://d}'}}", [], {ENDPOINT: "http://c"}),
        ("exporters: {x: {traces_endpoint: '${env:OTEL_EXPORTER_OTLP_TRACES_ENDPOINT}'}}", [], {TRACES: "http://c"}),
        (
            ELSEWHERE,
            ["--set", "exporters.otlp_http.endpoint=${env:OTEL_EXPORTER_OTLP_ENDPOINT}"],
            {ENDPOINT: "http://c"},
        ),
        (ELSEWHERE, [], {}),
        (ELSEWHERE, [], {ENDPOINT: ""}),
        (ELSEWHERE, [], {ENDPOINT: "http://c", "OTEL_SDK_DISABLED": "true"}),
    ],
)
def test_an_endpoint_that_is_heeded_or_not_set_is_not_spoken_of(
    tmp_path: Path, written: str, overrides: list[str], environment: dict[str, str]
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(written)
    assert unheeded_endpoint(["--config", str(file), *overrides], environment) is None


def test_the_embedded_default_heeds_the_environment() -> None:
    assert unheeded_endpoint(["--set", "exporters.otlp_http.timeout=3s"], {ENDPOINT: "http://c"}) is None


def test_the_warning_is_one_log_line_of_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = tmp_path / "gateway.yaml"
        file.write_text(embedded({}, tmp_path).text.replace("127.0.0.1:4000", f"127.0.0.1:{port}"))
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "run", "--config", str(file)],
            env=os.environ | {ENDPOINT: "http://secret-collector:4318"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert "cannot listen" in done.stderr, "the port is taken: it gets no further than the start"
    (warning,) = [line for line in done.stderr.splitlines() if ENDPOINT in line]
    assert json.loads(warning)["level"] == "warning"
    assert "secret-collector" not in done.stderr
