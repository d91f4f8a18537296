"""`spangate run` and `spangate demo`: binds the sockets, starts the processes, says where everything is."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import structlog
import yaml

from gateway.app import has_control_plane, listen_address, llm_config, receiver_id, worker_count, worker_name
from gateway.config.schema import Config
from gateway.console.config import ConsoleConfig
from gateway.console.serving import listens_everywhere, opened_url
from gateway.demo.model import BuiltinModel
from gateway.process import own_command
from gateway.state.config import SessionStateConfig
from gateway.state.secret import kept_secret
from gateway.supervisor import Child, ControlSocket, StartError, Supervisor, bind_each

_log = structlog.get_logger("gateway.run")
_STOP_MARGIN_S = 10.0
_DEMO_FOLDER = "data/demo"
_AFTER_THE_DEMO = f"""\
Look at them on the console, or in another terminal:
  .venv/bin/spangate sessions list --set extensions.storage.url=sqlite:///./{_DEMO_FOLDER}/spangate.db
The console asks for the token that the first start printed; for a new one, stop, delete
{_DEMO_FOLDER}/admin-token.sha256 and start again. Ctrl-C stops.
"""
_OTLP_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_REFERENCE = re.compile(r"\$\{(env:)?OTEL_EXPORTER_OTLP_(TRACES_)?ENDPOINT(:-[^{}]*)?\}")


async def run_gateway(
    config: Config, config_argv: Sequence[str], out: TextIO, then: Sequence[str] | None = None, afterwards: str = ""
) -> int:
    """Until SIGTERM or SIGINT; returns the exit code. Raises StartError.

    `config_argv` lets children read the same configuration.
    `then`: arguments of one more command, run once everything is ready; `afterwards`: what is said when it has ended.
    """
    loop = asyncio.get_running_loop()
    if (unheeded := unheeded_endpoint(config_argv, os.environ)) is not None:
        _log.warning(unheeded)
    llm = llm_config(config)
    count = worker_count(config)
    make_secret(config)
    listening = bind_each(listen_address(config), f"receivers::{receiver_id(config)}::endpoint", count)
    control = ControlSocket()
    planes: list[Child] = []
    if has_control_plane(config):
        fds = (control.socket.fileno(),)
        planes.append(Child("control plane", ["control-plane", "--socket-fd", str(fds[0]), *config_argv], fds))
    workers: list[Child] = []
    for number, each in enumerate(listening, 1):
        argv = ["worker", "--number", str(number), "--listen-fd", str(each.fileno()), "--control", control.path]
        name = worker_name(number, count)
        workers.append(Child(name, [*argv, *config_argv], (each.fileno(),), stop_s=llm.drain + _STOP_MARGIN_S))
    supervisor = Supervisor([planes, workers])
    asked = asyncio.Event()

    def stop() -> None:
        asked.set()
        supervisor.request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if hasattr(signal, "SIGHUP"):  # also a closed terminal's, which must not cut exchanges off
        loop.add_signal_handler(signal.SIGHUP, read_again, supervisor)
    try:
        if await started(supervisor, asked):
            out.write(welcome(config) + "\n")
            out.flush()
            if then is not None:
                await run_until_stop(then, supervisor)
                out.write(afterwards)
                out.flush()
        await supervisor.wait()
        await supervisor.stop()
        return 0
    finally:
        for each in listening:
            each.close()
        control.close()


def read_again(supervisor: Supervisor) -> None:
    """Workers read their policy files again."""
    _log.info("SIGHUP: policy files are read again; whatever else changed in the configuration needs a restart")
    supervisor.tell(signal.SIGHUP)


def make_secret(config: Config) -> None:
    """Before workers need it, so that all find the same one. Raises StartError where its folder cannot be had."""
    state = config.extension(SessionStateConfig)
    if state is not None and state.folder is not None:
        try:
            kept_secret(state.folder)
        except OSError as error:
            raise StartError(
                f"{state.folder} cannot be used ({error}); check its permissions and the space on its disk, "
                "or change extensions::session_state::url"
            ) from error


async def started(supervisor: Supervisor, asked: asyncio.Event) -> bool:
    """True once every process is ready, False as soon as somebody has `asked` to stop. Raises StartError.

    The supervisor's own event will not do: it stops itself, too, where a process does not get ready.
    """
    starting = asyncio.create_task(supervisor.start(), name="start")
    stopped = asyncio.create_task(asked.wait(), name="stop")
    try:
        await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        starting.cancel()  # nothing where it has ended
    with contextlib.suppress(asyncio.CancelledError):
        await starting
        return True
    return False


def unheeded_endpoint(config_argv: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """What to add where the environment names an OTLP endpoint and the configuration files do not refer to it.

    Without files it is heeded: the embedded default exports there. Names variables, never their values.
    """
    files = _values_of("--config", config_argv)
    given = [name for name in _OTLP_ENDPOINTS if environment.get(name)]
    if not (files and given) or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    # Read as YAML, so that a comment that speaks of it is no reference.
    written = [repr(yaml.safe_load(Path(file).read_text(encoding="utf-8"))) for file in files]
    if any(_REFERENCE.search(text) for text in [*written, *_values_of("--set", config_argv)]):
        return None
    key = "endpoint" if given[0] == "OTEL_EXPORTER_OTLP_ENDPOINT" else "traces_endpoint"
    return (
        f"{given[0]} is set, but the configuration does not refer to it, so no span goes there; add "
        f"`otlp_http: {{{key}: ${{env:{given[0]}}}}}` to exporters, and otlp_http to "
        "service::pipelines::traces::exporters; or unset it"
    )


def _values_of(option: str, argv: Sequence[str]) -> list[str]:
    return [value for name, value in zip(argv[::2], argv[1::2], strict=True) if name == option]


async def run_until_stop(argv: Sequence[str], supervisor: Supervisor) -> None:
    """One more command, to its end or until somebody asks to stop: it has nothing that were worth waiting for."""
    process = await asyncio.create_subprocess_exec(*own_command(*argv))
    stopped = asyncio.create_task(supervisor.wait(), name="stop")
    ended = asyncio.create_task(process.wait(), name="command")
    await asyncio.wait([stopped, ended], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ended.done():
        process.kill()
    await ended


def welcome(config: Config) -> str:
    """Where everything is, by addresses that can be opened."""
    llm = llm_config(config)
    count = worker_count(config)
    several = f", {count} workers" if count > 1 else ""
    lines = [f"spangate is ready (process {os.getpid()}{several}). Point your client's base URL at it:"]
    for name, provider in llm.providers.items():
        suffix = "/v1" if provider.api == "openai" else ""
        lines.append(f"  {opened_url(llm.endpoint, llm.tls is not None)}/{name}{suffix}  →  {provider.base_url}")
    lines += _reach(llm.endpoint)
    active = (config.extensions[name] for name in config.service.extensions)
    console = next((extension for extension in active if isinstance(extension, ConsoleConfig)), None)
    if console is not None:
        lines.append(f"Console: {opened_url(console.endpoint, console.tls is not None)}/")
        lines += _reach(console.endpoint)
    return "\n".join(lines)


def _reach(endpoint: str) -> list[str]:
    if not listens_everywhere(endpoint):
        return []
    return [f"  It listens on all interfaces ({endpoint}): other machines reach it by this one's name or address."]


async def run_demo(config_of: Callable[[list[str]], Config], out: TextIO) -> int:
    """The gateway in front of the built-in model, with some conversations driven through it."""
    async with BuiltinModel() as model:
        overrides = [
            f"receivers.llm.providers={{openai: {{base_url: {model.url}}}, anthropic: {{base_url: {model.url}}}}}",
            # A folder of its own: the token of the console that `spangate run` shows lies beside its database.
            f"extensions.storage.url=sqlite:///./{_DEMO_FOLDER}/spangate.db",
            f"extensions.session_state.url=lmdb:./{_DEMO_FOLDER}/state",
        ]
        config = config_of(overrides)
        argv = [part for override in overrides for part in ("--set", override)]
        traffic = ["demo-traffic", f"http://{llm_config(config).endpoint}"]
        return await run_gateway(config, argv, out, then=traffic, afterwards=_AFTER_THE_DEMO)
