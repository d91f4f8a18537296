"""The row about memory: RSS after many exchanges beside RSS after a few."""

from bench import ours, trial
from bench.figures import Reach, Row
from bench.machine import rss_bytes
from bench.ours import EVERYTHING
from bench.throughput import CONNECTIONS
from bench.trial import Bench

_EARLY, _LATE = 10_000, 100_000
_QUICK = 10


def memory(bench: Bench) -> list[Row]:
    """2 KB of content an exchange, everything on, one gateway for all of it."""
    early, late = (_EARLY // _QUICK, _LATE // _QUICK) if bench.quick else (_EARLY, _LATE)
    place = bench.new_folder("spangate")
    with ours.gateway(bench.command, place, EVERYTHING, bench.upstream.port, bench.sink.port) as gateway:
        pids = {"worker": gateway.worker, "control plane": gateway.control_plane}
        measures: list[dict[str, int]] = []
        problems: list[str] = []
        for limit in (early, late - early):
            run = trial.measured(bench, gateway, EVERYTHING, bench.medium, CONNECTIONS, limit, warm=False)
            measures.append({name: rss_bytes(pid) for name, pid in pids.items()})
            problems += run.problems
            bench.say("RSS " + ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in measures[-1].items()))
    problems += ours.losses(place)
    return [
        Row(
            f"RSS of {name} after {late:,} / after {early:,}",
            measures[1][name] / measures[0][name],
            Reach("≤", 1.2),
            f"{measures[1][name] / 2**20:.0f} of {measures[0][name] / 2**20:.0f} MiB",
            tuple(problems),
        )
        for name in pids
    ]
