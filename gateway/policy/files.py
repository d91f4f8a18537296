"""Notices that policy files have changed, from what the file system says of them. Reads none."""

import glob
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

_Made = TypeVar("_Made")
_Stamp = tuple[tuple[str, int, int, int], ...]
"""Path, time of change in nanoseconds, size, inode."""


class PolicyFiles:
    """Blocks on the file system: to be asked in a thread."""

    def __init__(self, paths: Sequence[str]) -> None:
        """`paths` as `load_agents` takes them, which is about to read them."""
        self._paths = paths
        self._read = self._seen = self._stamp()

    def changed(self) -> bool:
        """Whether they are others than those read last, and have come to rest: a folder that is being replaced is half
        of each."""
        stamp = self._stamp()
        rests = stamp == self._seen
        self._seen = stamp
        return rests and stamp != self._read

    def reading(self, read: Callable[[], _Made]) -> _Made | None:
        """What `read` makes of them, None where they changed meanwhile: it may be of two sets of files. Raises what it
        raises, and then has read them too."""
        self._read = self._stamp()
        made = read()
        if self._stamp() == self._read:
            return made
        self._read = ()
        return None

    def _stamp(self) -> _Stamp:
        found: list[tuple[str, int, int, int]] = []
        for path in self._paths:
            for file in sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else [path]:
                try:
                    said = os.stat(file)
                except OSError:
                    found.append((file, 0, 0, 0))
                else:
                    found.append((file, said.st_mtime_ns, said.st_size, said.st_ino))
        return tuple(found)
