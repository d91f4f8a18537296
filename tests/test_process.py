"""What the supervisor's children prepare before they serve."""

import resource
import subprocess
import sys

import pytest

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
