"""The rows about Server-Sent Events: many paced streams through one worker, every byte checked."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from bench import nginx, ours
from bench.figures import Reach, Row, difference_row, percentile
from bench.ledger import drained
from bench.machine import REST_CORE, SUBJECT_CORE, free_ports
from bench.ours import EVERYTHING
from bench.processes import end, listening, running, wait_until
from bench.stream_client import StreamFigures
from bench.trial import DRAIN_LIMIT_S, Bench

STALL_PACES = 10


@dataclass(slots=True, frozen=True)
class Shape:
    streams: int
    pace_ms: int
    rounds: int
    events: int

    def __str__(self) -> str:
        return f"SSE {self.streams:,} at {self.pace_ms} ms"


SHAPES = (Shape(200, 20, 2, 100), Shape(1000, 200, 1, 20))
QUICK_SHAPES = (Shape(200, 20, 1, 50), Shape(1000, 200, 1, 8))


@dataclass(slots=True, frozen=True)
class Round:
    """The same streams direct, through nginx and through us."""

    direct: StreamFigures
    nginx: StreamFigures
    ours: StreamFigures
    problems: tuple[str, ...]


def sse(bench: Bench) -> list[Row]:
    rows = []
    for shape in QUICK_SHAPES if bench.quick else SHAPES:
        with _stream_server(bench) as port:
            rows += _rows(shape, [_round(bench, shape, port, number) for number in range(bench.runs)])
    return rows


def _rows(shape: Shape, rounds: list[Round]) -> list[Row]:
    problems = [problem for each in rounds for problem in each.problems]
    stalls = tuple(float(stalled(shape, each.ours, each.direct)) for each in rounds)
    wrong = tuple(float(each.ours.differing + each.ours.unfinished) for each in rounds)
    gap = median(max(each.ours.longest_gap_ms, default=0) for each in rounds)
    nginx_gap = median(max(each.nginx.longest_gap_ms, default=0) for each in rounds)
    bare_gap = median(max(each.direct.longest_gap_ms, default=0) for each in rounds)
    detail = f"longest gap {gap:.0f} ms, nginx {nginx_gap:.0f}, direct {bare_gap:.0f}"
    return [
        Row(f"{shape}: stalled streams", sum(stalls), Reach("≤", 0), detail, tuple(problems), stalls),
        Row(f"{shape}: streams with a wrong byte", sum(wrong), Reach("≤", 0), values=wrong),
        difference_row(
            f"{shape}: added to first event, p99",
            [percentile(each.ours.first_ms, 99) for each in rounds],
            [percentile(each.direct.first_ms, 99) for each in rounds],
            Reach("≤", 5, " ms"),
        ),
    ]


def stalled(shape: Shape, ours: StreamFigures, direct: StreamFigures) -> int:
    """Streams with a gap more than ten paces longer than the longest there was without a gateway."""
    limit_ms = STALL_PACES * shape.pace_ms + max(direct.longest_gap_ms, default=0)
    return sum(gap > limit_ms for gap in ours.longest_gap_ms)


def _round(bench: Bench, shape: Shape, port: int, number: int) -> Round:
    direct = _client(port, shape)
    folder = bench.new_folder("stream-relay")
    folder.mkdir()
    with nginx.relay(SUBJECT_CORE, folder, port) as relay:
        theirs = _client(relay.port, shape)
    place = bench.new_folder("spangate")
    with ours.gateway(bench.command, place, EVERYTHING, port, bench.sink.port) as gateway:
        bench.sink.reset()
        mine = _client(gateway.port, shape)
        pids, expected = (gateway.worker, gateway.control_plane), shape.streams * shape.rounds
        out = drained(pids, expected, 0, bench.sink, gateway.store, DRAIN_LIMIT_S)
    problems = ours.losses(place)
    if (out.spans, out.rows) != (expected, expected):
        problems.append(f"{out.spans:,} spans and {out.rows:,} rows of {expected:,} streams")
    medians = [f"{percentile(each.first_ms, 50):.2f}" for each in (direct, theirs, mine)]
    tails = [f"{percentile(each.first_ms, 99):.2f}" for each in (direct, theirs, mine)]
    bench.say(
        f"{shape} {number + 1}/{bench.runs}: first event p50 {' / '.join(medians)} ms, p99 {' / '.join(tails)} ms "
        "(direct / nginx / spangate)"
    )
    return Round(direct, theirs, mine, tuple(f"run {number + 1}: {text}" for text in problems))


@contextmanager
def _stream_server(bench: Bench) -> Iterator[int]:
    [port] = free_ports(1)
    log = bench.folder / "stream-server.log"
    with running([sys.executable, "-m", "bench.stream_server", str(port)], REST_CORE, log) as process:
        wait_until(lambda: listening(port), process, log)
        yield port


def _client(port: int, shape: Shape) -> StreamFigures:
    numbers = [port, shape.streams, shape.rounds, shape.events, shape.pace_ms]
    command = ["taskset", "-c", str(REST_CORE), sys.executable, "-m", "bench.stream_client", *map(str, numbers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, process_group=0)
    try:
        output = process.communicate(timeout=60 + shape.rounds * shape.events * shape.pace_ms / 1000)[0]
    finally:
        if process.poll() is None:
            end(process)
    return StreamFigures(**json.loads(output))
