"""The system's random bytes, fetched some thousand at a time: a system call for each id would be felt."""

from os import urandom

_FETCHED = 4096


class Randomness:
    """Hands out each byte once. One for a process: a forked copy would hand out the same bytes."""

    def __init__(self) -> None:
        self._bytes = b""
        self._used = 0

    def take(self, count: int) -> bytes:
        start = self._used
        if start + count > len(self._bytes):
            self._bytes = urandom(max(_FETCHED, count))
            start = 0
        self._used = start + count
        return self._bytes[start : self._used]


random_bytes = Randomness().take
