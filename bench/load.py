"""wrk as the load: bounded in time and count, pinned beside the upstream, its figures read from one line of JSON."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.machine import REST_CORE
from bench.processes import end
from bench.prompts import CONVERSATION_TAIL, PATH, Conversation

LUA = Path(__file__).parent / "lua"
_STAMPS_A_RUN = 1_000_000


class LoadFailed(Exception):  # noqa: N818 - it reads as what happened
    """The generator itself failed, or the thing under test answered wrongly."""


@dataclass(slots=True, frozen=True)
class Script:
    """A Lua script and the file or folder it takes its requests from."""

    lua: str
    source: Path


@dataclass(slots=True, frozen=True)
class Load:
    requests: int
    """Answered."""
    started_ns: int
    """Monotonic, like `ended_ns`: the first request and the last answer."""
    ended_ns: int
    p50_us: int
    p99_us: int
    bytes: int

    @property
    def per_s(self) -> float:
        return self.requests / ((self.ended_ns - self.started_ns) / 1e9)


class Generator:
    """Starts wrk; numbers its runs, so that no two send the same message."""

    def __init__(self) -> None:
        self._runs = 0

    def run(self, port: int, script: Script, connections: int, seconds: float, limit: int = 0) -> Load:
        """Load until `seconds` are over or about `limit` requests were sent; raises if an answer was not a 2xx."""
        self._runs += 1
        if limit > _STAMPS_A_RUN:
            raise ValueError(f"a run sends at most {_STAMPS_A_RUN} requests")
        command = ["taskset", "-c", str(REST_CORE), "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}"]
        command += ["-s", str(LUA / script.lua), f"http://127.0.0.1:{port}{PATH}", "--"]
        command += [str(limit), str(self._runs), str(script.source)]
        return load_of(_output(command, seconds + 30))


def _output(command: list[str], limit_s: float) -> str:
    # A buffer of 190 KB stays in the heap between requests: mapped anew each time, the page faults are the load.
    heap = {"MALLOC_MMAP_THRESHOLD_": str(1 << 26), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **heap, "BENCH_LUA": str(LUA)},
        process_group=0,
    )
    try:
        return process.communicate(timeout=limit_s)[0].decode()
    finally:
        if process.poll() is None:
            end(process)


def load_of(output: str) -> Load:
    """Read what `lua/report.lua` printed."""
    line = next((line for line in output.splitlines() if line.startswith("BENCH ")), None)
    if line is None:
        raise LoadFailed(f"wrk gave no figures:\n{output[-1000:]}")
    said = json.loads(line.removeprefix("BENCH "))
    wrong = {kind: said[kind] for kind in ("connect", "read", "write", "status", "timeout") if said[kind]}
    if wrong or not said["requests"]:
        raise LoadFailed(f"not every request was answered with a 2xx: {wrong or 'no answer at all'}")
    started_ns = said["ended_ns"] - said["duration_us"] * 1000
    return Load(said["requests"], started_ns, said["ended_ns"], said["p50_us"], said["p99_us"], said["bytes"])


def write_conversations(folder: Path, conversations: list[Conversation]) -> Script:
    """Lay the conversations out as `lua/agents.lua` reads them."""
    folder.mkdir()
    lines = []
    for number, conversation in enumerate(conversations):
        (folder / f"{number}.json").write_bytes(conversation.body)
        turns = ",".join(
            f"{{till={turn.end},stamps={{{','.join(map(str, turn.stamps))}}}}}" for turn in conversation.turns
        )
        # A function each: LuaJIT allows one function 65,536 constants.
        lines.append(f'(function() return {{file="{number}.json",turns={{{turns}}}}} end)(),')
    manifest = [f"return {{tail=[==[{CONVERSATION_TAIL.decode()}]==],conversations={{", *lines, "}}"]
    (folder / "manifest.lua").write_text("\n".join(manifest))
    return Script("agents.lua", folder)
