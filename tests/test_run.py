"""What `spangate run` and `spangate demo` say at the start, and that they stop when they are told to."""

import asyncio
import socket

from gateway.config.defaults import embedded
from gateway.config.load import load
from gateway.config.schema import Config
from gateway.registry import REGISTRY
from gateway.run import run_until_stop, welcome
from gateway.supervisor import Supervisor


def _config(*overrides: str) -> Config:
    return load(REGISTRY, [embedded({})], overrides, {})


def test_the_welcome_names_addresses_that_can_be_opened() -> None:
    said = welcome(_config("receivers.llm.endpoint=0.0.0.0:4000", "extensions.console.endpoint='[::]:4001'"))
    assert "http://127.0.0.1:4000/openai/v1 " in said
    assert "Console: http://[::1]:4001/" in said
    assert "http://0.0.0.0" not in said
    assert "listens on all interfaces (0.0.0.0:4000)" in said
    assert "listens on all interfaces ([::]:4001)" in said


def test_the_welcome_of_a_local_gateway_speaks_of_no_other_machines() -> None:
    said = welcome(_config())
    assert "all interfaces" not in said
    assert said.count("http://127.0.0.1:4001") == 1


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
