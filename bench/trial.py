"""One measured run against one target: load, drain, CPU, and whether everything that went in came out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from bench import ours
from bench.ledger import Drained, Sink, Store, drained
from bench.load import Generator, Load, Script
from bench.machine import children, cpu_us
from bench.nginx import Nginx
from bench.ours import Gateway, Setup

DRAIN_LIMIT_S = 120


@dataclass(slots=True, frozen=True)
class Trial:
    per_s: float
    """Answered exchanges over the time until the last span and row had arrived."""
    p50_us: int
    p99_us: int
    exchanges: int
    cpu_us: dict[str, float]
    """An exchange, by process."""
    drain_s: float = 0.0
    """How long after the last answer the last span or row came."""
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class Bench:
    """What every row uses; lives as long as the benchmark."""

    command: Path
    """The `spangate` that is measured."""
    folder: Path
    generator: Generator
    upstream: Nginx
    relay: Nginx
    sink: Sink
    small: Script
    medium: Script
    big: Script
    runs: int
    seconds: float
    warm_s: float
    quick: bool
    say: Callable[[str], None]
    _names: "count[int]"

    def new_folder(self, name: str) -> Path:
        return self.folder / f"{next(self._names)}-{name}"

    def load(self, port: int, script: Script, connections: int, limit: int = 0, seconds: float = 0) -> Load:
        return self.generator.run(port, script, connections, seconds or self.seconds, limit)

    def warm(self, port: int, script: Script, connections: int) -> Load:
        return self.generator.run(port, script, connections, self.warm_s)


def direct(bench: Bench, script: Script, connections: int) -> Trial:
    """The load on the upstream itself: what generator and upstream can do on their core."""
    return _of_load(bench.load(bench.upstream.port, script, connections), {})


def nginx(bench: Bench, script: Script, connections: int) -> Trial:
    pids = {"nginx": children(bench.relay.pid)[0]}
    bench.warm(bench.relay.port, script, connections)
    before = _cpu(pids)
    load = bench.load(bench.relay.port, script, connections)
    return _of_load(load, _used(before, _cpu(pids), load.requests))


def spangate(bench: Bench, setup: Setup, script: Script, connections: int) -> Trial:
    """A gateway of its own for this run, started, warmed up and drained."""
    place = bench.new_folder("spangate")
    with ours.gateway(bench.command, place, setup, bench.upstream.port, bench.sink.port) as gateway:
        trial = measured(bench, gateway, setup, script, connections)
    return replace(trial, problems=(*trial.problems, *ours.losses(place)))


def measured(
    bench: Bench, gateway: Gateway, setup: Setup, script: Script, connections: int, limit: int = 0, warm: bool = True
) -> Trial:
    sink, store = bench.sink if setup.sends else None, gateway.store
    bench.sink.reset()
    rows_before = store.rows if store else 0
    if warm:
        load = bench.warm(gateway.port, script, connections)
        rows_before = max(0, _drain(gateway, load.requests, sink, store, rows_before).rows)
        bench.sink.reset()
    pids = {"worker": gateway.worker, "control plane": gateway.control_plane}
    asked_before, before = bench.upstream.requests, _cpu(pids)
    load = bench.load(gateway.port, script, connections, limit, seconds=300 if limit else 0)
    end = _drain(gateway, load.requests, sink, store, rows_before)
    after = _cpu(pids)
    asked = bench.upstream.requests - asked_before - 1  # the question itself
    problems = lost(load.requests, asked, connections, setup, end.spans, end.rows - rows_before)
    if not gateway.alive():
        problems.append("the worker that was pinned is gone")
    ended_ns = max(load.ended_ns, end.ended_ns)
    return Trial(
        per_s=load.requests / ((ended_ns - load.started_ns) / 1e9),
        p50_us=load.p50_us,
        p99_us=load.p99_us,
        exchanges=load.requests,
        cpu_us=_used(before, after, load.requests),
        drain_s=(ended_ns - load.ended_ns) / 1e9,
        problems=tuple(problems),
    )


def lost(answered: int, asked: int, connections: int, setup: Setup, spans: int, rows: int) -> list[str]:
    """What did not come out. The load ends amid at most one exchange a connection: those may be there too."""
    least, most = max(answered, asked), answered + connections
    found = [("spans", spans)] if setup.sends else []
    if setup.stores:
        found.append(("rows", rows))
    problems = [
        f"{number:,} {name} of {least:,} to {most:,} exchanges" for name, number in found if not least <= number <= most
    ]
    if len(found) == 2 and spans != rows:
        problems.append(f"{spans:,} spans but {rows:,} rows")
    return problems


def _drain(gateway: Gateway, answered: int, sink: Sink | None, store: Store | None, rows_before: int) -> Drained:
    return drained((gateway.worker, gateway.control_plane), answered, rows_before, sink, store, DRAIN_LIMIT_S)


def _of_load(load: Load, cpu: dict[str, float]) -> Trial:
    return Trial(load.per_s, load.p50_us, load.p99_us, load.requests, cpu)


def _cpu(pids: dict[str, int]) -> dict[str, int]:
    return {name: cpu_us(pid) for name, pid in pids.items()}


def _used(before: dict[str, int], after: dict[str, int], exchanges: int) -> dict[str, float]:
    return {name: (after[name] - before[name]) / exchanges for name in before}
