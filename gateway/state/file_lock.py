"""A lock between processes that is waited for only so long. The kernel takes it from a process that dies.

LMDB's own lock waits for ever for a process that is stopped (SIGSTOP) while it writes. One process, one holder: threads
of a process are not kept apart.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TRIES_AT_ONCE = 30
"""As long as one transaction takes; then it sleeps in between, ever longer."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 50e-6, 0.005
_IMPATIENT_S = 0.005
_LOCKS = Path("/proc/locks")


class LockBusyError(Exception):
    """Somebody holds it, and does not go on."""


class FileLock:
    def __init__(self, path: Path, wait_s: float) -> None:
        """`wait_s`: without its own time off the processor. After it was in vain, 5 ms until it is had again, so that
        an event loop does not stand still call after call. Raises OSError."""
        self.wait_s = wait_s
        self._path = path
        self._vain = False
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self) -> None:
        """Raises LockBusyError."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._vain = False
        except BlockingIOError:
            self._wait()

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    @contextmanager
    def held(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def close(self) -> None:
        os.close(self._file)

    def _wait(self) -> None:
        """Pauses are added up, and no clock is asked: that of a process that was stopped itself has run on."""
        for _ in range(_TRIES_AT_ONCE):
            if self._tried():
                return
        left_s, pause_s = min(self.wait_s, _IMPATIENT_S) if self._vain else self.wait_s, _FIRST_PAUSE_S
        while left_s > 0:
            time.sleep(pause_s)
            if self._tried():
                return
            left_s -= pause_s
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
        self._vain = True
        raise LockBusyError(f"{self._holder()} holds {self._path} and does not go on; continue it (SIGCONT) or end it")

    def _tried(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._vain = False
        return True

    def _holder(self) -> str:
        """For people; Linux alone tells."""
        inode = f":{os.fstat(self._file).st_ino}"
        try:
            locks = [line.split() for line in _LOCKS.read_text().splitlines()]
        except OSError:
            locks = []
        holders = [lock[4] for lock in locks if lock[1] == "FLOCK" and lock[5].endswith(inode)]
        return f"process {holders[0]}" if holders else "another process"
