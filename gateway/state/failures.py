"""Whose attempts got no good answer lately, so that nobody else's request is looked at as a retry.

A table of times that many may share without a lock: who reads amid a write takes one request for what it is not.
"""

from mmap import mmap

_SLOTS = 4096
TABLE_BYTES = _SLOTS * 8
_ANYBODY = 0


class Failures:
    """Implements `contracts.Failures`. Times are Unix nanoseconds."""

    def __init__(self, table: mmap | bytearray | None = None) -> None:
        """`table`: TABLE_BYTES that others may share, zeros at first; None: nobody does."""
        self._times = memoryview(table if table is not None else bytearray(TABLE_BYTES)).cast("q")

    def note(self, scope: bytes, at_ns: int) -> None:
        self._times[_slot(scope)] = at_ns
        self._times[_ANYBODY] = at_ns

    def lately(self, now_ns: int, within_ns: int, scope: bytes | None = None) -> bool:
        return abs(now_ns - self._times[_ANYBODY if scope is None else _slot(scope)]) <= within_ns


def _slot(scope: bytes) -> int:
    """Scopes that meet in one cost a look-up in vain. They are keyed hashes: nobody aims at another's."""
    return 1 + int.from_bytes(scope[:8], "big") % (_SLOTS - 1)
