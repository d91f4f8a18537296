"""Workers and the control plane as processes: started, watched, replaced, drained. Keeps the listening sockets.

A socket outlives the process that serves it: what has connected to a worker that dies waits for its replacement.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from gateway.process import own_command

_log = structlog.get_logger("gateway.supervisor")

_READY_S = 30.0
_RESTART_S = (0.1, 0.5, 2.0, 5.0)
_SHARES = hasattr(socket, "SO_REUSEPORT")
_STEADY_S = 10.0
"""A process that has run this long starts again without delay."""


class StartError(Exception):
    """The gateway cannot start; the message names what is wrong and the remedy."""


@dataclass(slots=True)
class Child:
    """One process: `python -m gateway <argv>`, plus the descriptors it inherits."""

    name: str
    argv: Sequence[str]
    fds: Sequence[int] = ()
    stop_s: float = 10.0
    """How long it may take to stop after SIGTERM."""
    process: asyncio.subprocess.Process | None = None
    failures: int = 0
    watcher: asyncio.Task[None] | None = field(default=None, repr=False)


def bind_each(endpoint: tuple[str, int], name: str, workers: int) -> list[socket.socket]:
    """A listening TCP socket for each worker, all at one address: the kernel spreads new connections over them by a
    hash of both ends' addresses. Raises StartError naming the config key `name`."""
    first = bind(endpoint, name)
    sockets = [first]
    try:
        while len(sockets) < workers:
            # Where SO_REUSEPORT is missing, all accept from one socket.
            sockets.append(bind((endpoint[0], first.getsockname()[1]), name, beside=True) if _SHARES else first.dup())
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


def bind(endpoint: tuple[str, int], name: str, beside: bool = False) -> socket.socket:
    """A listening TCP socket; `beside` another one of ours at the same address. Raises StartError naming `name`."""
    host, port = endpoint
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if _SHARES:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if not beside:
                _refuse_occupied(family, host, port)
        sock.bind((host, port))
        sock.listen(4096)
    except OSError as error:
        sock.close()
        raise StartError(
            f"{name}: cannot listen on {host}:{port} ({error.strerror}). "
            "Stop what is using it, or name another endpoint in the configuration."
        ) from error
    sock.setblocking(False)
    return sock


def _refuse_occupied(family: int, host: str, port: int) -> None:
    """SO_REUSEPORT would let a second gateway take half of the first one's connections without a word."""
    if port == 0:
        return
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


class ControlSocket:
    """The Unix socket between workers and the control plane, in a folder of its own that only this user can open."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="spangate-")
        self.path = os.path.join(self._folder, "control.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(self.path)
        self.socket.listen(128)
        self.socket.setblocking(False)

    def close(self) -> None:
        self.socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Supervisor:
    """Starts children stage by stage, restarts each of them that dies, stops them in reverse order."""

    def __init__(self, stages: Sequence[Sequence[Child]]) -> None:
        """Children of one stage start together, and stop together: a drain takes as long as its slowest."""
        self._stages = [list(stage) for stage in stages]
        self._stopping = asyncio.Event()
        self._alive_read, self._alive_write = os.pipe()
        """Children read its one end: when the supervisor dies, however it dies, they see the end and stop."""

    async def start(self) -> None:
        """Start all; return when every one of them is ready. Raises StartError if one does not get there."""
        for stage in self._stages:
            ready = await asyncio.gather(*(self._spawn(child) for child in stage))
            if not all(ready):
                await self.stop()
                raise StartError(f"The {stage[ready.index(False)].name} did not start; its own message stands above.")
            for child in stage:
                child.watcher = asyncio.create_task(self._watch(child), name=f"watch {child.name}")

    def request_stop(self) -> None:
        self._stopping.set()

    def tell(self, number: signal.Signals) -> None:
        """Send all children that run a signal."""
        for child in (child for stage in self._stages for child in stage):
            if child.process is not None and child.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.send_signal(number)

    async def wait(self) -> None:
        """Until somebody asks to stop."""
        await self._stopping.wait()

    async def stop(self) -> None:
        """Stop all, the last stage first, each child within its own deadline."""
        self._stopping.set()
        for stage in reversed(self._stages):
            await asyncio.gather(*(self._stop(child) for child in stage))
        for fd in (self._alive_read, self._alive_write):
            with contextlib.suppress(OSError):
                os.close(fd)

    async def _spawn(self, child: Child) -> bool:
        """True as soon as the child says that it is ready."""
        ready_read, ready_write = os.pipe()
        fds = (*child.fds, ready_write, self._alive_read)
        argv = [*child.argv, "--ready-fd", str(ready_write), "--alive-fd", str(self._alive_read)]
        try:
            child.process = await asyncio.create_subprocess_exec(*own_command(*argv), pass_fds=fds)
        finally:
            os.close(ready_write)
        try:
            return await _ready(ready_read)
        finally:
            os.close(ready_read)

    async def _watch(self, child: Child) -> None:
        while not self._stopping.is_set():
            assert child.process is not None
            began = time.monotonic()
            code = await child.process.wait()
            if self._stopping.is_set():
                return
            child.failures = 0 if time.monotonic() - began > _STEADY_S else child.failures + 1
            delay = _RESTART_S[min(child.failures, len(_RESTART_S) - 1)]
            _log.error("a process died; it is being replaced", process=child.name, exit=code, in_s=delay)
            await asyncio.sleep(delay)
            if not self._stopping.is_set():
                await self._replace(child)

    async def _replace(self, child: Child) -> None:
        """What cannot be started, or does not get ready, is one more death; the next try comes after a longer while."""
        try:
            ready = await self._spawn(child)
        except OSError as error:
            _log.error("a process could not be started", process=child.name, error=error.strerror)
            return
        if not ready and child.process is not None and child.process.returncode is None:
            child.process.kill()

    async def _stop(self, child: Child) -> None:
        process = child.process
        if child.watcher is not None:
            child.watcher.cancel()
            await asyncio.wait([child.watcher])
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(child.stop_s):
                await process.wait()
        except TimeoutError:
            _log.error("a process did not stop in time; it is ended", process=child.name, after_s=child.stop_s)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _ready(fd: int) -> bool:
    """Whether a byte comes on the pipe before its end, and before the deadline."""
    loop = asyncio.get_running_loop()
    got: asyncio.Future[bool] = loop.create_future()

    def readable() -> None:
        loop.remove_reader(fd)
        if not got.done():
            got.set_result(os.read(fd, 1) != b"")

    loop.add_reader(fd, readable)
    try:
        async with asyncio.timeout(_READY_S):
            return await got
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
