"""What every child process of the supervisor does alike: which loop, how it stops, how it says that it is ready."""

import asyncio
import contextlib
import fcntl
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine


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
    """
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_child(main, ready_fd, alive_fd))


async def _child(
    main: Callable[[asyncio.Event, Callable[[], None]], Coroutine[None, None, None]], ready_fd: int, alive_fd: int
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
