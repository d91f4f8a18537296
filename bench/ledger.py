"""What came out at the other end: spans at the sink, rows in the store, and when the last of them was there."""

import json
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machine import REST_CORE, cpu_us, free_ports
from bench.processes import listening, running, wait_until

_LOOK_S = 0.02
_IDLE_S = 0.3
"""A worker that used no CPU for this long has nothing left to do."""


@dataclass(slots=True, frozen=True)
class Tally:
    spans: int
    requests: int
    bytes: int
    last_ns: int
    bad: int


@dataclass(slots=True, frozen=True)
class Sink:
    port: int

    @property
    def tally(self) -> Tally:
        return Tally(**json.loads(self._ask("tally")))

    @property
    def sample(self) -> bytes:
        """The last request's body, unpacked."""
        return self._ask("sample")

    def reset(self) -> None:
        self._ask("reset")

    def _ask(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=60) as answer:
            body: bytes = answer.read()
            return body


@contextmanager
def sink(folder: Path) -> Iterator[Sink]:
    [port] = free_ports(1)
    log = folder / "sink.log"
    with running([sys.executable, "-m", "bench.sink", str(port)], REST_CORE, log) as process:
        wait_until(lambda: listening(port), process, log)
        yield Sink(port)


@dataclass(slots=True, frozen=True)
class Store:
    """The gateway's SQLite store, looked at from outside, read-only."""

    path: Path
    table: str = "exchanges"

    @property
    def rows(self) -> int:
        """The highest row number: rows are only added here, and counting them all would take time from the load."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)) as connection:
            [[highest]] = connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {self.table}").fetchall()
            return int(highest)

    @property
    def counted(self) -> int:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=60)) as connection:
            [[count]] = connection.execute(f"SELECT count(*) FROM {self.table}").fetchall()
            return int(count)


@dataclass(slots=True, frozen=True)
class Drained:
    spans: int
    """-1 where nothing was to come."""
    rows: int
    ended_ns: int
    """When the last of them was there, or the worker had nothing left to do."""


def drained(
    pids: tuple[int, ...], expected: int, rows_before: int, sink: Sink | None, store: Store | None, limit_s: float
) -> Drained:
    """Wait until at least `expected` spans and rows came and nothing more does, or the time is over."""
    deadline = time.monotonic() + limit_s
    last_change_ns = time.monotonic_ns()
    seen = (0, 0, 0)
    while True:
        spans, rows = sink.tally.spans if sink else -1, store.rows if store else -1
        # Where nothing is to come, the sign that work is being done is the CPU it takes.
        now = (spans, rows, 0 if sink or store else _cpu(pids))
        if now != seen:
            last_change_ns, seen = time.monotonic_ns(), now
        complete = (not sink or spans >= expected) and (not store or rows - rows_before >= expected)
        quiet = time.monotonic_ns() - last_change_ns > _IDLE_S * 1e9
        if (complete and quiet) or time.monotonic() > deadline:
            return Drained(spans, store.counted if store else -1, last_change_ns)
        time.sleep(_LOOK_S)


def _cpu(pids: tuple[int, ...]) -> int:
    return sum(cpu_us(pid) for pid in pids)
