"""How well sessions are found where nobody names them: the real pipeline in process, with a clock of its own.

`python -m bench.attribution --seed 1 [--write FILE]`; no network, no waiting. F1 over pairs of requests: precision is
the share of pairs in one session that belong to one conversation, recall the share of a conversation's in one session.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from bench.conversations import Call, traffic
from gateway.model.exchange import Captured, Exchange
from gateway.pipeline import TAIL_DELAY_S, Pipeline
from gateway.processors.session import SessionConfig, SessionProcessor
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache
from gateway.state.memory import MemoryState

START_NS = 1_790_000_000_000_000_000
_LIMIT = 1 << 24
FOUND = SessionConfig()


class Score(NamedTuple):
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def score(truth: Sequence[object], found: Sequence[object]) -> Score:
    """Of pairs: `truth[i]` and `found[i]` are the same request's conversation and session."""
    right = _pairs(Counter(zip(truth, found, strict=True)).values())
    in_sessions, in_conversations = _pairs(Counter(found).values()), _pairs(Counter(truth).values())
    return Score(right / in_sessions if in_sessions else 1.0, right / in_conversations if in_conversations else 1.0)


def _pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


class Replay:
    """Sends traffic through one worker's pipeline. The tail is as late as in a gateway."""

    def __init__(self, config: SessionConfig) -> None:
        self.state = MemoryState(config.window, config.close_after)
        sessions = SessionProcessor(
            config,
            self.state,
            lambda exchange: self.pipeline.reading(exchange),
            b"bench",
            lambda exchange, at_most: self.pipeline.answered(exchange, at_most),
        )
        self.pipeline = Pipeline([sessions], [], {each.name: each for each in formats()}, KnownMessageCache())
        self._numbers = 0
        self.took_ns: list[tuple[int, int]] = []
        """(messages, what resolving took) of each request; reading it excluded."""

    def sessions_of(self, calls: Sequence[Call]) -> list[str]:
        """The session that each call got, in their order."""
        return asyncio.run(self._replayed(calls))

    async def _replayed(self, calls: Sequence[Call]) -> list[str]:
        # Never lets go of the loop: the clock here, not its own, says when the tail is due.
        moments = [(call.begins_s, 1, index) for index, call in enumerate(calls)]
        moments += [(call.ends_s, 0, index) for index, call in enumerate(calls)]
        running: dict[int, Exchange] = {}
        found = [""] * len(calls)
        last_end_s = 0.0
        for at_s, begins, index in sorted(moments):
            if at_s - last_end_s > TAIL_DELAY_S:
                self.pipeline.drain()
            if begins:
                exchange = running[index] = self._begun(calls[index])
                found[index] = exchange.session.id if exchange.session is not None else ""
            else:
                self._ended(running.pop(index), calls[index])
                last_end_s = at_s
        self.pipeline.drain()
        if self.pipeline.failures:
            raise RuntimeError(f"the pipeline failed: {dict(self.pipeline.failures)}")
        return found

    def _begun(self, call: Call) -> Exchange:
        self._numbers += 1
        fields = {name.encode(): value.encode() for name, value in call.headers.items()}
        fields[b"authorization"] = b"Bearer one-key"
        now_ns = START_NS + round(call.begins_s * 1e9)
        exchange = Exchange(
            f"{now_ns // 1_000_000:012x}{self._numbers:012x}",
            now_ns,
            "POST",
            "/v1/chat/completions",
            [],
            _captured(call.body),
            b"t" * 16,
            b"s" * 8,
            header_map=fields,
        )
        exchange.api = "openai_chat"
        self.pipeline.reading(exchange)
        started = time.perf_counter_ns()
        self.pipeline.ready(exchange)
        self.took_ns.append((len(call.body["messages"]), time.perf_counter_ns() - started))
        return exchange

    def _ended(self, exchange: Exchange, call: Call) -> None:
        exchange.response_body = _captured(call.answer)
        exchange.response_header_map = {b"content-type": b"application/json"}
        exchange.status = call.status
        exchange.end = "finished" if call.status < 400 else "upstream_error"
        exchange.opened_ns, exchange.ended_ns = 1, 1 + round((call.ends_s - call.begins_s) * 1e9)
        self.pipeline.end(exchange)


def _captured(body: dict[str, Any]) -> Captured:
    captured = Captured(_LIMIT, chunks=[])
    captured.add(json.dumps(body).encode())
    return captured


def bytes_a_session(turns: int, sessions: int = 300) -> float:
    """What the memory engine holds for each of so many conversations, keys and all."""
    replay = Replay(FOUND)
    replay.sessions_of(traffic(7, sessions, (turns, turns)))
    return held(replay.state) / len(replay.state)


def held(root: object) -> int:
    """Bytes of everything that can be reached from `root` and is data."""
    seen: set[int] = set()
    waiting: list[object] = [root]
    size = 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type | ModuleType | FunctionType):
            continue
        seen.add(id(each))
        size += sys.getsizeof(each)
        waiting += gc.get_referents(each)
    return size


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.attribution", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="write the traffic and its truth there, one JSON line a call")
    options = parser.parse_args(arguments)
    alone, named = traffic(options.seed), traffic(options.seed, users=5)
    if options.write is not None:
        options.write.write_text("".join(json.dumps(call._asdict()) + "\n" for call in alone))
    by_principal = SessionConfig(anonymous="principal")
    print(f"{len(alone)} requests of 200 conversations, seed {options.seed}; F1 over pairs of requests")
    for name, calls, config in (
        ("lineage", alone, FOUND),
        ("the 45 s window alone, anonymous: principal", alone, SessionConfig(lineage=False, anonymous="principal")),
        ("lineage and window, anonymous: principal", alone, by_principal),
        ("lineage, five users with x-user-id", named, FOUND),
        ("the 45 s window alone, five users", named, SessionConfig(lineage=False)),
    ):
        replay = Replay(config)
        found = score([call.conversation for call in calls], replay.sessions_of(calls))
        print(f"{name:45} F1 {found.f1:.4f}  precision {found.precision:.4f}  recall {found.recall:.4f}")
        if config == FOUND and calls is alone:
            took = [took_ns for messages, took_ns in replay.took_ns if 18 <= messages <= 22]
            print(f"{'resolving 20 messages, memory, p50':45} {median(took) / 1000:.1f} µs of {len(took)}")
    print(f"{'state of a session of 30 turns, memory':45} {bytes_a_session(30) / 1000:.1f} KB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
