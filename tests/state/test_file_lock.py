"""Nobody waits for ever for a process that holds a lock, stopped or not; a dead one holds none."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.state import file_lock
from gateway.state.file_lock import FileLock, LockBusyError

PROGRAM = """
import sys
from pathlib import Path
from gateway.state.file_lock import FileLock
lock = FileLock(Path(sys.argv[1]), 60.0)
lock.acquire()
print("held", flush=True)
sys.stdin.readline()
lock.release()
print("released", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was slept, in turn; nobody sleeps."""
    pauses: list[float] = []
    monkeypatch.setattr("gateway.state.file_lock.time.sleep", pauses.append)
    return pauses


def test_one_that_is_held_is_waited_for_so_long_and_then_hardly_at_all(
    tmp_path: Path, holder: "subprocess.Popen[str]", pauses: list[float]
) -> None:
    lock = FileLock(tmp_path / "lock", 0.5)
    with pytest.raises(LockBusyError, match=f"process {holder.pid} holds .*lock and does not go on"):
        lock.acquire()
    assert 0.5 <= sum(pauses) < 0.51
    pauses.clear()
    with pytest.raises(LockBusyError):
        lock.acquire()
    assert 0.005 <= sum(pauses) < 0.01
    holder.communicate("go on\n", timeout=60)
    lock.acquire()
    lock.release()
    lock.close()


def test_once_it_was_had_it_is_waited_for_as_long_again(
    tmp_path: Path, holder: "subprocess.Popen[str]", pauses: list[float]
) -> None:
    lock, other = FileLock(tmp_path / "lock", 0.5), FileLock(tmp_path / "lock", 0.5)
    with pytest.raises(LockBusyError):
        lock.acquire()
    holder.communicate("go on\n", timeout=60)
    lock.acquire()
    lock.release()
    with other.held():
        pauses.clear()
        with pytest.raises(LockBusyError):
            lock.acquire()
    assert sum(pauses) >= 0.5
    for each in (lock, other):
        each.close()


def test_a_process_that_is_killed_holds_nothing(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    lock = FileLock(tmp_path / "lock", 60.0)
    os.kill(holder.pid, signal.SIGKILL)
    lock.acquire()
    lock.close()


def test_without_a_table_of_locks_nobody_is_named(
    tmp_path: Path, holder: "subprocess.Popen[str]", pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "_LOCKS", tmp_path / "nothing")
    lock = FileLock(tmp_path / "lock", 0.0)
    with pytest.raises(LockBusyError, match="another process holds"):
        lock.acquire()
    lock.close()
