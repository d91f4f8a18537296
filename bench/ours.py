"""spangate as the thing under test: its configuration, its processes found and pinned, its counters read."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from bench.ledger import Store
from bench.machine import REST_CORE, SUBJECT_CORE, command_line, descendants, free_ports, pin
from bench.processes import answering, running, wait_until

Tree = dict[str, object]
Messages = Literal["full", "new", "none"]

POLICIES = Path(__file__).parent.parent / "policies"
AGENTS = ("data-protector", "prompt-shield")
"""Those that read content. What the others cost, `python -m bench.policy` says."""
READY_LIMIT_S = 60


@dataclass(slots=True, frozen=True)
class Setup:
    """What is switched on."""

    processors: tuple[str, ...] = ("session", "policy")
    exporters: tuple[str, ...] = ("store", "otlp_http")
    messages: Messages = "full"
    limit: str = "64KiB"
    compression: str = "none"
    lineage: bool = True
    in_lmdb: bool = False
    """What is known of sessions; else in the worker's memory."""

    @property
    def stores(self) -> bool:
        return "store" in self.exporters

    @property
    def sends(self) -> bool:
        return "otlp_http" in self.exporters


EXPORTERS_OFF = Setup(exporters=("nop",))
BY_NAME_AND_TIME = Setup(exporters=("nop",), lineage=False)
EVERYTHING = Setup()
ONLY_NEW = Setup(messages="new")
IN_LMDB = Setup(in_lmdb=True)


@dataclass(slots=True, frozen=True)
class Ports:
    proxy: int
    console: int
    health: int


@dataclass(slots=True, frozen=True)
class Gateway:
    port: int
    worker: int
    """Process ids."""
    control_plane: int
    store: Store | None

    def alive(self) -> bool:
        """Whether the pinned worker is still the one that serves."""
        return "worker" in command_line(self.worker)


_LOSSES = ("drop", "fail", "refus", "reject", "unencodable", "without_content", "lost")
"""Words in the names of counters that count what should not happen here: content left out of a span is a loss too."""


def losses(folder: Path) -> list[str]:
    """What the gateway, ended by now, said in its log that it had lost; a sentence each."""
    totals = totals_in((folder / "log").read_text(errors="replace"))
    if totals is None:
        return ["the gateway did not say how many it lost: it did not stop in order"]
    return [f"the gateway counts {name}: {number:,}" for name, number in lost_in(totals).items()]


def totals_in(log: str) -> Tree | None:
    """The counters with which a worker takes its leave."""
    for line in reversed(log.splitlines()):
        if '"worker stopped"' in line:
            said: Tree = json.loads(line)
            return said
    return None


def lost_in(totals: Tree) -> dict[str, int]:
    """Counters whose name says that something was lost; zeros left out."""
    found: dict[str, int] = {}
    _walk("", totals, found)
    return found


def _walk(name: str, value: object, found: dict[str, int]) -> None:
    if isinstance(value, dict):
        for key, below in value.items():
            _walk(f"{name}.{key}" if name else str(key), below, found)
    elif isinstance(value, int) and value and any(word in name for word in _LOSSES):
        found[name] = int(value)


@contextmanager
def gateway(command: Path, folder: Path, setup: Setup, upstream_port: int, sink_port: int) -> Iterator[Gateway]:
    """Started as a user starts it; the worker alone on the measured core, the control plane with the rest."""
    ports = Ports(*free_ports(3))
    folder.mkdir()
    config, log = folder / "spangate.yaml", folder / "log"
    config.write_text(yaml.safe_dump(config_of(setup, ports, upstream_port, sink_port, folder), sort_keys=False))
    with running([str(command), "run", "--config", str(config)], REST_CORE, log) as process:
        wait_until(lambda: answering(ports.proxy) and _found(process.pid), process, log, READY_LIMIT_S)
        worker, control_plane = _children_of(process.pid)
        pin(worker, SUBJECT_CORE)
        store = Store(folder / "spangate.db") if setup.stores else None
        yield Gateway(ports.proxy, worker, control_plane, store)


def _found(supervisor: int) -> bool:
    worker, control_plane = _children_of(supervisor)
    return bool(worker and control_plane)


def _children_of(supervisor: int) -> tuple[int, int]:
    """Worker and control plane, by what stands on their command lines."""
    found = {"worker": 0, "control-plane": 0}
    for pid in descendants(supervisor):
        words = command_line(pid).split()
        for role in found:
            if role in words:
                found[role] = pid
    return found["worker"], found["control-plane"]


def config_of(setup: Setup, ports: Ports, upstream_port: int, sink_port: int, folder: Path) -> Tree:
    capture = {"messages": setup.messages, "limit": setup.limit}
    known: Tree = {
        "nop": {"capture": {"messages": setup.messages}},
        "store": {},
        "otlp_http": {
            "endpoint": f"http://127.0.0.1:{sink_port}",
            "compression": setup.compression,
            "capture": capture,
        },
        "session": {"lineage": setup.lineage},
        "policy": {"files": [f"{POLICIES}/{name}.yaml" for name in AGENTS]},
    }
    extensions: Tree = {
        "health_check": {"endpoint": f"127.0.0.1:{ports.health}"},
        "console": {"endpoint": f"127.0.0.1:{ports.console}"},
        "storage": {"url": f"sqlite:///{folder}/spangate.db"},
    }
    if setup.in_lmdb:
        extensions["session_state"] = {"url": f"lmdb:{folder}/state"}
    receiver = {
        "endpoint": f"127.0.0.1:{ports.proxy}",
        "providers": {"openai": {"base_url": f"http://127.0.0.1:{upstream_port}"}},
    }
    pipeline = {"receivers": ["llm"], "processors": [*setup.processors], "exporters": [*setup.exporters]}
    return {
        "extensions": extensions,
        "receivers": {"llm": receiver},
        "processors": {name: known[name] for name in setup.processors},
        "exporters": {name: known[name] for name in setup.exporters},
        "service": {
            "workers": 1,
            "extensions": [*extensions],
            "pipelines": {"traces": pipeline},
            "telemetry": {"logs": {"level": "info", "format": "json"}},
        },
    }
