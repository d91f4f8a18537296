"""Processes of the benchmark: each runs within a `with`, and is ended by its own pid, whatever happens."""

import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.machine import descendants

_PR_SET_PDEATHSIG = 1


class NotStarted(Exception):  # noqa: N818 - it reads as what happened
    """What was started did not come up; says what it wrote."""


@contextmanager
def running(
    command: Sequence[str], core: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The command on one core; on leaving it gets SIGTERM, a minute to drain, then SIGKILL with what it left behind."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            # A group, since Ctrl-C is for the harness, which then ends them in order. Not a session: Linux would share
            # the core by sessions (autogroup, sched(7)), and no process's own priority would count against another's.
            process_group=0,
            preexec_fn=_end_with_parent,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes], patience_s: float = 60) -> None:
    below = descendants(process.pid)
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in below:
        if _still_in_group(pid, process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _still_in_group(pid: int, group: int) -> bool:
    """Whether this pid is still that child: a number taken over by somebody else is in another group."""
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def _end_with_parent() -> None:
    """Even where the harness itself is killed: the kernel then sends SIGTERM."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False


def answering(port: int) -> bool:
    """Whether `GET /` gets a 200: a listening socket alone may be held for a process that is still starting."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1) as answer:
        return bool(answer.status == 200)
    return False


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, limit_s: float = 20) -> None:
    """Return once `ready()`; raise with the end of the log if the process died or the time is over."""
    deadline = time.monotonic() + limit_s
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            state = "ended" if process.poll() is not None else f"was not ready after {limit_s:g} s"
            text = log.read_text(errors="replace")[-2000:]
            raise NotStarted(f"{log}: the process {state}:\n{text}")
        time.sleep(0.02)
