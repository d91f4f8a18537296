"""Files that are written through a map: their blocks are there first, or a full disk would be a fatal signal."""

import os
from mmap import mmap
from pathlib import Path

GRAIN = 64 << 10
"""A multiple of any machine's pages."""


def reserve(path: Path, size: int, larger: int) -> None:
    """Make a file of `size` bytes a `larger` one. Raises OSError where the disk is too full for it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, size, larger - size)
        else:
            for start in range(size, larger, GRAIN):
                os.pwrite(file, bytes(min(GRAIN, larger - start)), start)
    finally:
        os.close(file)


def shared_bytes(path: Path, size: int) -> mmap:
    """So many bytes, zeros at first, that all processes share who open this file. Raises OSError."""
    there = path.stat().st_size if path.exists() else 0
    if there < size:
        reserve(path, there, size)
    with path.open("r+b") as file:
        return mmap(file.fileno(), size)
