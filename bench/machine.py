"""What this machine is, what its processes use, and which core they may run on. Reads /proc; Linux only."""

import os
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

SUBJECT_CORE = 0
"""What is measured, alone."""
REST_CORE = 1
"""Load, upstream, sink, our control plane, and this harness."""


@dataclass(slots=True, frozen=True)
class Facts:
    cpu: str
    cores: int
    memory_mib: int
    kernel: str
    python: str
    """Version and where it came from: one built without profile-guided optimisation is a fifth slower."""
    nginx: str
    wrk: str
    load_before: float


def missing() -> list[str]:
    """What the benchmark needs and this machine has not, one sentence each with its remedy."""
    absent = [name for name in ("nginx", "wrk", "taskset") if shutil.which(name) is None]
    if absent:
        package = {"taskset": "util-linux"}
        names = " ".join(package.get(name, name) for name in absent)
        return [f"{', '.join(absent)} not found; install with: apt-get install {names}"]
    if len(os.sched_getaffinity(0)) < 2:
        return ["two cores are needed: one for what is measured, one for everything else"]
    return []


def facts() -> Facts:
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ":")
    pages = os.sysconf("SC_PHYS_PAGES")
    return Facts(
        cpu=cpu.split(":", 1)[1].strip(),
        cores=os.cpu_count() or 0,
        memory_mib=pages * PAGE_BYTES >> 20,
        kernel=platform.release(),
        python=f"{platform.python_version()} of {sys.base_prefix}",
        nginx=_said(["nginx", "-v"]).removeprefix("nginx version: "),
        wrk=_said(["wrk", "-v"]).split("[")[0].strip(),
        load_before=os.getloadavg()[0],
    )


def _said(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return (result.stderr + result.stdout).splitlines()[0]


def children(pid: int) -> list[int]:
    """Direct children, oldest first; none if the process is gone."""
    found: list[int] = []
    try:
        for task in sorted(Path(f"/proc/{pid}/task").iterdir()):
            found += [int(word) for word in (task / "children").read_text().split()]
    except FileNotFoundError:
        return found
    return found


def descendants(pid: int) -> list[int]:
    below = children(pid)
    return below + [deeper for child in below for deeper in descendants(child)]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:
        return ""


def pin(pid: int, core: int) -> None:
    """All threads the process has; those it starts later inherit it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def cpu_us(pid: int) -> int:
    """User and system time of all its threads, in microseconds; steps of 10 ms."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) * 1_000_000 // TICKS_PER_S


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def free_ports(count: int) -> list[int]:
    """Ports on loopback that were free just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
