"""The rows that compare requests a second, and latency at one connection, with nginx's bare relay."""

from collections.abc import Mapping

from bench import trial
from bench.figures import Reach, Row, difference_row, ratio_row
from bench.load import Script
from bench.ours import BY_NAME_AND_TIME, EVERYTHING, EXPORTERS_OFF, IN_LMDB, ONLY_NEW, Setup
from bench.trial import Bench, Trial

CONNECTIONS = 32


def small(bench: Bench) -> list[Row]:
    """0.3 KB in, 0.4 KB out, 32 connections."""
    names: Mapping[str, tuple[Setup, float | None]] = {
        "small, sessions by name and time, exporters off": (BY_NAME_AND_TIME, 0.20),
        "the same and lineage": (EXPORTERS_OFF, None),
        "small, everything on": (EVERYTHING, 0.10),
    }
    return _ratios(bench, bench.small, names)


def big(bench: Bench) -> list[Row]:
    """Agents that repeat 190 KB, 32 connections."""
    names = {"190 KB, everything on": (EVERYTHING, 0.07), "190 KB, messages: new": (ONLY_NEW, 0.12)}
    return _ratios(bench, bench.big, names)


def lmdb(bench: Bench) -> list[Row]:
    """The same with session state in LMDB, as without a configuration; there is no goal for it."""
    rows = _ratios(bench, bench.small, {"small, everything on, LMDB": (IN_LMDB, None)})
    return [*rows, *_ratios(bench, bench.big, {"190 KB, everything on, LMDB": (IN_LMDB, None)})]


def one(bench: Bench) -> list[Row]:
    """Small, one connection: what a lone caller waits longer than behind nginx."""
    pairs = _pairs(bench, bench.small, EVERYTHING, 1, "small, c=1")
    problems = _problems(pairs)
    return [
        difference_row(
            "small c=1, added p50",
            [mine.p50_us for mine, _ in pairs],
            [theirs.p50_us for _, theirs in pairs],
            Reach("≤", 150, " µs"),
            problems,
        ),
        difference_row(
            "small c=1, added p99",
            [mine.p99_us for mine, _ in pairs],
            [theirs.p99_us for _, theirs in pairs],
            Reach("≤", 500, " µs"),
            problems,
        ),
    ]


def _ratios(bench: Bench, script: Script, names: Mapping[str, tuple[Setup, float | None]]) -> list[Row]:
    bare = trial.direct(bench, script, CONNECTIONS)
    bench.say(f"direct: {bare.per_s:,.0f} a second")
    rows = []
    for name, (setup, bound) in names.items():
        pairs = _pairs(bench, script, setup, CONNECTIONS, name)
        ours, theirs = [mine.per_s for mine, _ in pairs], [other.per_s for _, other in pairs]
        problems = _problems(pairs)
        if bare.per_s < max(theirs):
            problems.append(f"load and upstream alone do {bare.per_s:,.0f} a second: they were the limit, not nginx")
        rows.append(ratio_row(name, ours, theirs, Reach("≥", bound) if bound is not None else None, problems))
    return rows


def _pairs(bench: Bench, script: Script, setup: Setup, connections: int, name: str) -> list[tuple[Trial, Trial]]:
    """Alternating: nginx, us, nginx, us …"""
    pairs = []
    for number in range(bench.runs):
        theirs = trial.nginx(bench, script, connections)
        mine = trial.spangate(bench, setup, script, connections)
        cpu = ", ".join(f"{process} {used:.0f}" for process, used in {**theirs.cpu_us, **mine.cpu_us}.items())
        bench.say(
            f"{name} {number + 1}/{bench.runs}: nginx {theirs.per_s:,.0f}, spangate {mine.per_s:,.0f} a second "
            f"(p50 {theirs.p50_us} / {mine.p50_us} µs, p99 {theirs.p99_us} / {mine.p99_us} µs; drained after "
            f"{mine.drain_s:.2f} s; CPU µs an exchange: {cpu})"
        )
        pairs.append((mine, theirs))
    return pairs


def _problems(pairs: list[tuple[Trial, Trial]]) -> list[str]:
    return [f"run {number}: {text}" for number, (mine, _) in enumerate(pairs, 1) for text in mine.problems]
