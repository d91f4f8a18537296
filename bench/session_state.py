"""What session state adds to an exchange, by engine and by how many sessions it knows: `python -m bench.session_state`.

Each exchange asks for its place by five keys, of which the second is known, as one whose client repeats 20 messages
does, and leaves a lasting key and six passing ones. Parsing and hashing are no part of it. Sessions are picked at
random, all equally often: real ones are busy or idle, which is kinder to caches.

"Whole" is all that finding the session of such an exchange adds while its client waits, hashing included; the state
knows as many sessions meanwhile.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.machine import rss_bytes
from bench.session_exchanges import MESSAGES, Conversations
from gateway.contracts import SessionState
from gateway.model.session import Claim, Key, Lesson, Place
from gateway.state.config import SessionStateConfig
from gateway.state.lmdb import LmdbState
from gateway.state.memory import MemoryState
from gateway.state.opening import session_state

_SECRET = b"of the benchmark"
_KEYS, _KNOWN, _LEARNT = 5, 1, 7
_PRINCIPAL = "0123456789abcdef" * 2
_TURNS, _SIZED = 30, 10_000
"""How long sessions are, and how many, to see what one takes."""


class Measured(NamedTuple):
    """Nanoseconds, sorted."""

    resolve: list[int]
    learn: list[int]
    whole: list[int]


class Load(NamedTuple):
    sessions: int
    exchanges: int
    """Of each worker."""
    pause_s: float
    """Between two exchanges of a worker; 0: as fast as it goes."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    columns = ["engine", "workers", "sessions", "pace", "resolve p50", "p99", "learn p50", "p99"]
    columns += [f"whole p50 ({MESSAGES} messages)", "p99"]
    print(f"| {' | '.join(columns)} |")
    print(f"|{' --- |' * len(columns)}")
    for sessions in options.sessions:
        for pause_s in (0.001, 0.0):
            load = Load(sessions, options.exchanges, pause_s)
            _print("memory", 1, load, [_in_memory(load)])
        with _folder(options.folder) as folder:
            _fill(folder, sessions)
            for pause_s in (0.001, 0.0):
                load = Load(sessions, options.exchanges, pause_s)
                for workers in (1, 2):
                    _print("LMDB", workers, load, _in_lmdb(folder, load, workers))
    with _folder(options.folder) as folder:
        in_memory, in_lmdb = _bytes_in_memory(_SIZED), _bytes_in_lmdb(folder, _SIZED)
        print(f"\nA session of {_TURNS} turns: {in_memory:,} bytes in memory, {in_lmdb:,} bytes in LMDB")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.session_state", description=__doc__)
    parser.add_argument("--sessions", type=_numbers, default=[10_000, 100_000, 1_000_000], metavar="N,N…")
    parser.add_argument("--exchanges", type=int, default=20_000, metavar="N", help="of each worker")
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="on the disk to measure; a temporary one is made in it"
    )
    return parser.parse_args(arguments)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


@contextmanager
def _folder(place: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="session-state-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _in_memory(load: Load) -> Measured:
    state = MemoryState(limit=load.sessions * 2)
    for number in range(load.sessions):
        state.learn(_first_lesson(number))
    return _exchanges(state, load, 1)


def _fill(folder: Path, sessions: int) -> None:
    state = LmdbState(folder, _SECRET, limit=sessions * 2)
    for start in range(0, sessions, 10_000):
        state.learn_all(_first_lesson(number) for number in range(start, min(start + 10_000, sessions)))
    state.close()


def _in_lmdb(folder: Path, load: Load, workers: int) -> list[Measured]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers) as pool:
        return pool.starmap(_worker, [(folder, load, number, workers) for number in range(workers)], chunksize=1)


def _worker(folder: Path, load: Load, number: int, workers: int) -> Measured:
    """As a worker of the gateway has it, with what stands by in case that it fails."""
    config = SessionStateConfig(url=f"lmdb:{folder}", max_sessions=load.sessions * 2)
    state = session_state(config, _SECRET, 45.0, 86400.0, workers)
    try:
        return _exchanges(state, load, os.getpid() * 2 + number)
    finally:
        assert not state.counters["failed"]
        state.close()


def _exchanges(state: SessionState, load: Load, seed: int) -> Measured:
    chosen = random.Random(seed)
    clock = time.perf_counter_ns
    measured = Measured([], [], [])
    conversations = Conversations(state, _SECRET, seed)
    for _ in range(load.exchanges):
        if load.pause_s:
            time.sleep(load.pause_s)
        number = chosen.randrange(load.sessions)
        now_ns = time.time_ns()
        keys = [Key(chosen.randbytes(16)) for _ in range(_KEYS)]
        keys[_KNOWN] = Key(_digest(number))
        claim = Claim("default", _PRINCIPAL, "s-unused", False, False, None, False, False, keys=tuple(keys))
        before = clock()
        place = state.resolve(claim, now_ns)
        measured.resolve.append(clock() - before)
        assert isinstance(place, Place)
        assert place.how == "key"
        lasting, *passing = (chosen.randbytes(16) for _ in range(_LEARNT))
        asked = tuple(key.digest for key in keys[: _KNOWN + 1])
        lesson = _lesson(place.session_id, now_ns, asked, (lasting,), tuple(passing))
        before = clock()
        state.learn(lesson)
        measured.learn.append(clock() - before)
        measured.whole.append(conversations.found_ns())
    for samples in measured:
        samples.sort()
    return measured


def _first_lesson(number: int) -> Lesson:
    others = random.Random(-number - 1).randbytes(16 * (_LEARNT - 1))
    passing = tuple(others[start : start + 16] for start in range(0, len(others), 16))
    return _lesson(f"s-{number:029}", time.time_ns(), (), (_digest(number),), passing)


def _lesson(
    session_id: str, now_ns: int, asked: tuple[bytes, ...], lasting: tuple[bytes, ...], passing: tuple[bytes, ...]
) -> Lesson:
    exchange = os.urandom(12).hex()
    return Lesson("default", _PRINCIPAL, session_id, exchange, now_ns, now_ns, True, asked, lasting, passing)


def _digest(number: int) -> bytes:
    """The key by which session `number` is found."""
    return random.Random(number).randbytes(16)


def _print(engine: str, workers: int, load: Load, measured: list[Measured]) -> None:
    pace = f"{workers / load.pause_s:,.0f}" if load.pause_s else "all it can"
    columns = [engine, str(workers), f"{load.sessions:,}", pace]
    for samples in zip(*measured, strict=True):
        together = sorted(sample for part in samples for sample in part)
        columns += [f"{together[len(together) * share // 1000] / 1000:.0f} µs" for share in (500, 990)]
    print(f"| {' | '.join(columns)} |", flush=True)


def _bytes_in_memory(sessions: int) -> int:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (sessions,)) // sessions


def _grown(sessions: int) -> int:
    """Of a process of its own, which has nothing lying about."""
    state = MemoryState(limit=sessions)
    _talk(state, 1)
    before = rss_bytes(os.getpid())
    _talk(state, sessions)
    return rss_bytes(os.getpid()) - before


def _bytes_in_lmdb(folder: Path, sessions: int) -> int:
    state = LmdbState(folder, _SECRET, limit=sessions * 2)
    before = state.used
    _talk(state, sessions)
    size = state.used - before
    state.close()
    return size // sessions


def _talk(state: SessionState, sessions: int) -> None:
    for _ in range(_TURNS):
        now_ns = time.time_ns()
        for number in range(sessions):
            lasting, *passing = (os.urandom(16) for _ in range(_LEARNT))
            state.learn(_lesson(f"s-{number:029}", now_ns, (), (lasting,), tuple(passing)))


if __name__ == "__main__":
    sys.exit(main())
