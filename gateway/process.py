"""What every child process of the supervisor does alike: which loop, how it stops, how it says that it is ready."""

import asyncio
import contextlib
import fcntl
import gc
import math
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, or asyncio's own where uvloop is missing."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def own_command(*arguments: str) -> tuple[str, ...]:
    """The command line of a process of ours. SECURITY: `-P`, or Python would look for modules in the current folder
    first, and run whatever is called `gateway` there."""
    return (sys.executable, "-P", "-m", "gateway", *arguments)


def usable_cores(control_groups: Path = Path("/sys/fs/cgroup"), own_group: Path = Path("/proc/self/cgroup")) -> int:
    """How many cores this process may use at once, 1 at least: those it may run on, and no more than the quota of a
    control group that it is in, which is how a container is limited (cgroup v2, cpu.max; whole cores, rounded down)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota in _quotas(control_groups, own_group):
        cores = min(cores, math.floor(quota)) if quota < math.inf else cores
    return max(1, cores)


def _quotas(control_groups: Path, own_group: Path) -> Iterator[float]:
    """Cores by quota of the process' control group and those it is in. Source: the kernel's cgroup-v2.rst."""
    try:
        [path] = [line[3:] for line in own_group.read_text().splitlines() if line.startswith("0::")]
    except (OSError, ValueError):
        return  # no Linux, or cgroup v1
    group = control_groups / path.lstrip("/")
    for each in (group, *group.parents):
        with contextlib.suppress(OSError, ValueError):
            quota, _, period = (each / "cpu.max").read_text().strip().partition(" ")
            yield float(quota) / float(period) if quota != "max" else math.inf
        if each == control_groups:
            return


_FILES = 65_536
_TABLE = 16_384


def make_room_for_connections() -> None:
    """Before the process has threads: as many open files as it may have, 65,536 at most, and the kernel's table of
    them at a size that it need not grow under traffic.

    Linux doubles that table on the way, at 256, 512, 1,024 files, and a process with threads waits for an RCU grace
    period each time (fs/file.c, expand_fdtable): 15 to 30 ms without a loop were measured, at the 512th stream.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    with contextlib.suppress(OSError, ValueError):  # then it goes with what it has
        if soft != resource.RLIM_INFINITY and soft < limit:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        with open(os.devnull, "rb") as any_file:
            os.close(fcntl.fcntl(any_file, fcntl.F_DUPFD_CLOEXEC, min(limit, _TABLE) - 1))


_COLLECT_AFTER = (5_000, 20, 50)
"""More new objects than dead ones, then younger collections before an older one. An exchange leaves no cycles behind,
so at CPython's 700 the collector looks through some ten running exchanges for nothing, again and again."""


def run_child(
    main: Callable[[asyncio.Event, Callable[[], None]], Coroutine[None, None, None]], ready_fd: int, alive_fd: int
) -> None:
    """Run `main(stop, ready)` until it returns; `stop` is set by SIGTERM or by the supervisor's death.

    SIGINT is ignored: on Ctrl-C the terminal sends it to everybody, and the supervisor stops its children in order.
    So is SIGHUP, which a closing terminal sends too, where nothing is read again.
    """
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_child(main, ready_fd, alive_fd))


async def _child(
    main: Callable[[asyncio.Event, Callable[[], None]], Coroutine[None, None, None]], ready_fd: int, alive_fd: int
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until somebody means it, and then not as the end
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if alive_fd >= 0:
        loop.add_reader(alive_fd, _supervisor_gone, loop, alive_fd, stop)

    def ready() -> None:
        # What is alive now stays: the collector need not look at it again, with every young generation's promotion.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        if ready_fd >= 0:
            with contextlib.suppress(OSError):
                os.write(ready_fd, b"1")
                os.close(ready_fd)

    await main(stop, ready)


def _supervisor_gone(loop: asyncio.AbstractEventLoop, alive_fd: int, stop: asyncio.Event) -> None:
    loop.remove_reader(alive_fd)
    stop.set()
