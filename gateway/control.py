"""The control plane's composition: writer, link to the workers, console, health. Never in the way of a relayed call."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from ssl import SSLContext

import structlog
from aiohttp import web

from gateway.console.app import console_app
from gateway.console.auth import AdminToken, Auth, admin_token
from gateway.console.config import ConsoleConfig, HealthCheckConfig
from gateway.console.desk import Desk
from gateway.console.health import Health, health_app
from gateway.console.pages import Pages
from gateway.console.serving import EndpointError, serve
from gateway.link.server import LinkServer
from gateway.review.pending import PendingReviews
from gateway.store.config import StorageConfig
from gateway.store.sqlite import StoreWriter
from gateway.store.tables import UnusableDatabaseError

_log = structlog.get_logger("gateway.control")


@dataclass(slots=True, frozen=True)
class ControlSettings:
    storage: StorageConfig | None
    """None where nothing is kept and nothing shown."""
    console: ConsoleConfig | None = None
    """None where the extension is not in use; the same for health."""
    health: HealthCheckConfig | None = None
    workers: int = 1
    gateway_url: str = "http://127.0.0.1:4000"
    """Where clients reach the proxy, for the console's first page."""
    admin_token: str | None = None
    """None: `SPANGATE_ADMIN_TOKEN` of the environment, else the one made at the first start."""
    close_after_s: float = 86400.0
    """Idle time after which a session is closed: the session processor's."""
    drain_s: float = 5.0
    workers_s: float = 0.0
    """How long workers may take to finish, where all processes are told to stop at once."""


class ControlPlaneError(SystemExit):
    """Why the control plane cannot start, and the remedy. Uncaught, it is one line on stderr and exit code 1."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Error: {reason}")


async def run_control_plane(
    settings: ControlSettings, listen_fd: int, ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """Serve until `stop` is set. `listen_fd` is a listening Unix socket, which stays the supervisor's.

    Raises ControlPlaneError where the database or an endpoint cannot be had.
    """
    writer: StoreWriter | None = None
    if settings.storage is not None:
        writer = StoreWriter(settings.storage.path, settings.storage.retention, close_after_s=settings.close_after_s)
        await asyncio.to_thread(_start_writer, writer, settings.storage)
    link = LinkServer(writer)
    pending: PendingReviews | None = None
    deciding: asyncio.Task[None] | None = None
    listening = socket(fileno=os.dup(listen_fd))
    closing: list[Callable[[], None]] = []
    counted: dict[str, Callable[[], dict[str, int]]] = {"link": link.counters}
    if writer is not None:
        counted["store"] = writer.counters
    runners: list[web.AppRunner] = []
    try:
        if settings.console is not None:
            runners.append(await _start_console(settings, settings.console, closing, counted))
        if settings.health is not None:
            check = _health_check(writer, link, settings.workers)
            runners.append(await _listen(health_app(check), settings.health.endpoint, "health_check"))
        if settings.storage is not None:
            pending = link.reviews = PendingReviews(settings.storage.path, link.tell)
            counted["reviews"] = pending.counters
            deciding = asyncio.create_task(pending.run(), name="reviews")
        link.start(listening)
        ready()
        await stop.wait()
        # The supervisor stops the workers first. But where it was killed, or somebody signalled the whole group, they
        # are still finishing their exchanges, and nobody else would store them.
        await link.all_left(settings.workers_s)
    finally:
        # What was read is stored and acknowledged first; only then do connections close.
        await link.pause()
        if writer is not None:
            await asyncio.to_thread(writer.stop, settings.drain_s)
        await asyncio.sleep(0)
        await link.stop()
        if deciding is not None and pending is not None:
            deciding.cancel()
            await asyncio.wait([deciding])
            pending.close()
        listening.close()
        for runner in runners:
            await runner.cleanup()
        for close in closing:
            close()
        _log.info("control plane stopped", **{name: counters() for name, counters in counted.items()})


def _start_writer(writer: StoreWriter, storage: StorageConfig) -> None:
    try:
        writer.start()
    except UnusableDatabaseError as error:
        raise ControlPlaneError(str(error)) from error
    except Exception as error:
        # The boundary to whatever SQLite and the file system may say; its text names no content.
        raise ControlPlaneError(
            f"{storage.path} cannot be opened ({error}); check its folder's permissions and space, "
            "or change extensions::storage::url"
        ) from error


async def _start_console(
    settings: ControlSettings,
    config: ConsoleConfig,
    closing: list[Callable[[], None]],
    counted: dict[str, Callable[[], dict[str, int]]],
) -> web.AppRunner:
    assert settings.storage is not None, "the console shows the store"
    path = settings.storage.path
    given = settings.admin_token or os.environ.get("SPANGATE_ADMIN_TOKEN")
    try:
        token = admin_token(path.parent, given)
    except OSError as error:
        raise ControlPlaneError(f"the administrator's token cannot be kept in {path.parent}: {error}") from error
    desk = Desk(path)
    closing.append(desk.close)
    auth = Auth(token)
    counted["console"] = auth.counters
    app = console_app(desk, auth, Pages(settings.gateway_url), config.endpoint, config.hosts)
    runner = await _listen(app, config.endpoint, "console", config.tls.context() if config.tls is not None else None)
    _show(token, path.parent)
    return runner


async def _listen(app: web.Application, endpoint: str, extension: str, tls: SSLContext | None = None) -> web.AppRunner:
    try:
        return await serve(app, endpoint, f"extensions::{extension}::endpoint", tls)
    except EndpointError as error:
        raise ControlPlaneError(str(error)) from error


def _show(token: AdminToken, folder: Path) -> None:
    """Once, at the first start: the token is nowhere else, only its hash is kept."""
    if token.made is not None:
        sys.stderr.write(
            f"administrator's token for the console (shown only now; its hash is in {folder}): {token.made}\n"
        )
        sys.stderr.flush()


def _health_check(writer: StoreWriter | None, link: LinkServer, expected: int) -> Callable[[], Health]:
    def check() -> Health:
        connected = len(link.workers)
        reason = None
        if writer is not None and writer.trouble is not None:
            reason = f"the store cannot be written: {writer.trouble}"
        elif not connected:
            reason = "no worker is connected"
        status = "ok" if reason is None else "unavailable"
        return Health(status, reason, connected, expected, _apart(link.troubles))

    return check


def _apart(troubles: Mapping[str, str]) -> str | None:
    """Workers without the shared session state, and what the first of them says."""
    if not troubles:
        return None
    return f"{', '.join(sorted(troubles))}: sessions are the worker's own ({next(iter(troubles.values()))})"
