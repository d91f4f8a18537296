"""Runs the benchmark: starts what is needed, goes through the rows, prints one table, writes one JSON file."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random

from bench import ledger, machine, memory, nginx, prompts, source, stages, streams, throughput
from bench.figures import Row, Sheet, table
from bench.load import Generator, LoadFailed, Script, write_conversations
from bench.processes import NotStarted
from bench.trial import Bench

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent
SPANGATE = Path(sys.executable).parent / "spangate"
CONVERSATIONS, SEED = 32, 20261123

ROWS: dict[str, Callable[[Bench], list[Row]]] = {
    "small": throughput.small,
    "big": throughput.big,
    "lmdb": throughput.lmdb,
    "one": throughput.one,
    "sse": streams.sse,
    "memory": memory.memory,
}
STAGES = "stages"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    absent = machine.missing()
    if absent:
        print("\n".join(absent), file=sys.stderr)
        return 1
    # Whatever was started is ended on the way out. (A shell's background job would ignore Ctrl-C's signal.)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    facts = machine.facts()
    sheet = Sheet()
    begun = source.fingerprint(options.root)
    try:
        with _bench(options) as bench:
            _fill(sheet, bench, options.rows)
    except (NotStarted, LoadFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        # An interrupted run is shown too, but never as if it were whole.
        left = [name for name in options.rows if name not in sheet.done]
        if left:
            sheet.warnings.append(f"this run ended early; not measured: {', '.join(left)}")
        if source.fingerprint(options.root) != begun:
            sheet.warnings.append(f"the sources in {options.root} changed meanwhile: these figures are of no one build")
        if sheet.done:
            _report(sheet, facts, options)
    return 1 if sheet.warnings else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="spangate side by side with nginx")
    parser.add_argument("--rows", type=_names, default=[*ROWS, STAGES], help=", ".join([*ROWS, STAGES]))
    parser.add_argument("--runs", type=int, default=5, help="alternating pairs a row (5)")
    parser.add_argument("--seconds", type=int, default=4, help="of load a run (4)")
    parser.add_argument("--conversations", type=int, default=CONVERSATIONS, help="of the agents (32)")
    parser.add_argument("--spangate", type=Path, default=SPANGATE, help="the command to measure")
    parser.add_argument("--root", type=Path, default=ROOT, help="where that command's sources are")
    parser.add_argument("--quick", action="store_true", help="one short pair: does the harness work?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.runs, options.seconds = 1, 1
    return options


def _names(text: str) -> list[str]:
    chosen = text.split(",")
    unknown = [name for name in chosen if name not in ROWS and name != STAGES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row {', '.join(unknown)}; there are {', '.join([*ROWS, STAGES])}")
    return chosen


@contextmanager
def _bench(options: argparse.Namespace) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="spangate-bench-") as name:
        folder = Path(name)
        small, medium = folder / "small.json", folder / "medium.json"
        small.write_bytes(prompts.small_body())
        medium.write_bytes(prompts.medium_body(2000, Random(SEED)))
        big = write_conversations(folder / "agents", list(prompts.conversations(options.conversations, SEED)))
        with (
            nginx.upstream(machine.REST_CORE, folder, prompts.answer()) as upstream,
            nginx.relay(machine.SUBJECT_CORE, folder, upstream.port) as relay,
            ledger.sink(folder) as sink,
        ):
            yield Bench(
                command=options.spangate,
                folder=folder,
                generator=Generator(),
                upstream=upstream,
                relay=relay,
                sink=sink,
                small=Script("one.lua", small),
                medium=Script("one.lua", medium),
                big=big,
                runs=options.runs,
                seconds=options.seconds,
                warm_s=1,
                quick=options.quick,
                say=lambda text: print(text, file=sys.stderr, flush=True),
                _names=count(),
            )


def _fill(sheet: Sheet, bench: Bench, chosen: Sequence[str]) -> None:
    for name in chosen:
        if name == STAGES:
            sheet.notes += stages.stages(bench)
        else:
            sheet.rows += ROWS[name](bench)
        sheet.done.append(name)


def _report(sheet: Sheet, facts: machine.Facts, options: argparse.Namespace) -> None:
    print(f"\n{table(sheet.rows)}\n")
    for note in sheet.notes:
        print(f"{note}\n")
    for warning in sheet.warnings:
        print(f"! {warning}")
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%dT%H%M%S}.json"
    rows = [{**asdict(row), "reached": row.reached} for row in sheet.rows]
    found = {
        "at": now.isoformat(),
        "machine": asdict(facts),
        "revision": source.revision(options.root),
        "options": {**vars(options), "spangate": str(options.spangate), "root": str(options.root)},
        "rows": rows,
    }
    path.write_text(
        json.dumps({**found, "notes": sheet.notes, "warnings": sheet.warnings}, ensure_ascii=False, indent=1)
    )
    print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main())
