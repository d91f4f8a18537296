"""An incremental decoder of newline-delimited JSON: bytes in, whole lines with their raw bytes out. No I/O, no JSON.

Ollama streams so, and files of JSON lines are read so. The raw bytes of all events are the bytes fed.
"""

from typing import NamedTuple


class Line(NamedTuple):
    """An event: lines have no names."""

    data: bytes
    """The line without the blanks around it; b"" where there is nothing else."""
    raw: bytes
    """The bytes as they came, line end included."""
    event: str = ""


class NdjsonDecoder:
    """Holds at most one unfinished line; whoever feeds it bounds how long a line may grow."""

    __slots__ = ("_rest", "_searched")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[Line]:
        """The lines that these bytes complete, cut anywhere: no other byte of UTF-8 is a line feed."""
        rest = self._rest
        rest += data
        events: list[Line] = []
        start = 0
        found = rest.find(b"\n", self._searched)
        while found >= 0:
            raw = bytes(rest[start : found + 1])
            events.append(Line(raw.strip(), raw))
            start = found + 1
            found = rest.find(b"\n", start)
        del rest[:start]
        self._searched = len(rest)
        return events

    def end(self) -> Line | None:
        """What is left when the stream is over: a line without its end, perhaps cut in the middle."""
        if not self._rest:
            return None
        raw = bytes(self._rest)
        self._rest.clear()
        return Line(raw.strip(), raw)
