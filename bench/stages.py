"""Where the CPU goes: the same load on a ladder of configurations, each rung switching on one thing more."""

from statistics import median

from bench import trial
from bench.figures import stage_table
from bench.load import Script
from bench.ours import Setup
from bench.throughput import CONNECTIONS
from bench.trial import Bench

_BOTH = ("session", "policy")

LADDER: dict[str, Setup] = {
    "relay, reading, span": Setup(processors=(), exporters=("nop",), messages="none"),
    "+ session": Setup(processors=("session",), exporters=("nop",), messages="none"),
    "+ policy": Setup(processors=_BOTH, exporters=("nop",), messages="none"),
    "+ content": Setup(processors=_BOTH, exporters=("nop",)),
    "+ otlp_http": Setup(processors=_BOTH, exporters=("otlp_http",)),
    "+ store": Setup(processors=_BOTH, exporters=("otlp_http", "store")),
}


def stages(bench: Bench) -> list[str]:
    """CPU µs an exchange by rung and process, small and big, as text."""
    return [
        _stages(bench, "small, CPU µs an exchange", bench.small),
        _stages(bench, "190 KB, CPU µs an exchange", bench.big),
    ]


def _stages(bench: Bench, title: str, script: Script) -> str:
    rounds = min(3, bench.runs)
    used: dict[str, list[dict[str, float]]] = {name: [] for name in LADDER}
    for _ in range(rounds):
        for name, setup in LADDER.items():
            used[name].append(trial.spangate(bench, setup, script, CONNECTIONS).cpu_us)
    middle = [{process: median(run[process] for run in runs) for process in runs[0]} for runs in used.values()]
    return stage_table(title, list(LADDER), middle)
