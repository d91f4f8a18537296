"""What the supervisor's children prepare before they serve."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.process import usable_cores

_PREPARED = """
import resource
from gateway.process import make_room_for_connections
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
make_room_for_connections()
status = open("/proc/self/status").read()
table = next(line.split()[1] for line in status.splitlines() if line.startswith("FDSize:"))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], table)
"""


def _prepared(soft: int, hard: int) -> tuple[int, int]:
    """The soft limit and the kernel's table of open files, in a process that was given these limits."""
    code = _PREPARED.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    limit, table = map(int, done.stdout.split())
    return limit, table


def test_a_worker_may_open_as_many_files_as_the_system_lets_it() -> None:
    hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 4096)

    limit, _ = _prepared(256, hard)

    assert limit == hard


def test_the_table_of_open_files_need_not_grow_under_traffic() -> None:
    _, table = _prepared(2048, 2048)

    assert table >= 2048


def test_what_the_system_does_not_allow_is_gone_without() -> None:
    assert _prepared(64, 64)[0] == 64


@pytest.mark.parametrize(("missing", "module"), [("None", "asyncio"), ("__import__('uvloop')", "uvloop")])
def test_without_uvloop_it_runs_on_asyncios_own_loop(missing: str, module: str) -> None:
    code = f"""
import sys
sys.modules["uvloop"] = {missing}
from gateway.process import new_loop
loop = new_loop()
print(type(loop).__module__.partition(".")[0])
loop.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == module


@pytest.mark.parametrize(
    ("quota", "outer", "cores"),
    [("max 100000", "max 100000", 64), ("350000 100000", "max 100000", 3), ("max 100000", "200000 100000", 2), ("50000 100000", "max 100000", 1)],
)  # fmt: skip
def test_a_quota_on_a_container_or_around_it_leaves_as_many_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, outer: str, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    (tmp_path / "pod" / "gateway").mkdir(parents=True)
    (tmp_path / "pod" / "cpu.max").write_text(f"{outer}\n")
    (tmp_path / "pod" / "gateway" / "cpu.max").write_text(f"{quota}\n")
    own = tmp_path / "own"
    own.write_text("0::/pod/gateway\n")
    assert usable_cores(tmp_path, own) == cores


@pytest.mark.parametrize("own", ["5:cpu:/old\n1:name=systemd:/\n", "0::/nowhere\n", ""])
def test_without_a_readable_quota_the_cores_of_its_affinity_count(tmp_path: Path, own: str) -> None:
    (tmp_path / "own").write_text(own)
    assert usable_cores(tmp_path, tmp_path / "own") == len(os.sched_getaffinity(0))
