"""An incremental decoder of a JSON array sent in pieces: bytes in, whole elements with their raw bytes out. No I/O.

Google's APIs stream so where nobody asks for SSE. Finds where elements end and nothing more: whether an element is JSON
is the reader's business. A body that is no array comes out at the end, whole. The raw bytes of all events are the bytes
fed.
"""

import re
from typing import Literal, NamedTuple

_State = Literal["opening", "between", "container", "string", "scalar", "over", "no array"]
_STOPS: dict[_State, re.Pattern[bytes]] = {
    "opening": re.compile(rb"[^ \t\r\n\xef\xbb\xbf]"),  # blanks and the bytes of a byte order mark
    "between": re.compile(rb"[^ \t\r\n,]"),
    # A string that is there whole is one step, and so are brackets in a row; a quote alone begins half a string.
    "container": re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|"|[\[{]++|[\]}]++', re.DOTALL),
    # The rest of a string, as far as it is there and sure: a backslash that ends the buffer waits for what it escapes.
    "string": re.compile(rb'(?:[^"\\]++|\\.)*+(")?', re.DOTALL),
    "scalar": re.compile(rb'[ \t\r\n,\]\[{"]'),
}
"""What changes a state; a state without any lasts until the end."""


class ArrayElement(NamedTuple):
    """An event: elements have no names."""

    data: bytes
    """The element; at the end also half of one, or what follows the array; b"" where only punctuation is left."""
    raw: bytes
    """The bytes as they came, with the bracket, comma and blanks before the element."""
    event: str = ""


class JsonArrayDecoder:
    """Holds at most one unfinished element; whoever feeds it bounds how long an element may grow."""

    __slots__ = ("_at", "_begun", "_depth", "_rest", "_state")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._at = 0
        """Up to here the state is known."""
        self._begun = 0
        """Where the element begins that is being read."""
        self._depth = 0
        self._state: _State = "opening"

    def feed(self, data: bytes) -> list[ArrayElement]:
        """The elements that these bytes complete. Cut anywhere: inside a string, an escape, a character.

        An object, array or string comes out with its last byte; a number or a word with the byte after it.
        """
        rest = self._rest
        rest += data
        events: list[ArrayElement] = []
        start = 0
        while (step := self._next()) is not None:
            if self._take(step):
                events.append(ArrayElement(bytes(rest[self._begun : self._at]), bytes(rest[start : self._at])))
                start = self._at
        del rest[:start]
        self._at -= start
        self._begun = max(0, self._begun - start)
        return events

    def end(self) -> ArrayElement | None:
        """What is left when the stream is over."""
        if not self._rest:
            return None
        raw = bytes(self._rest)
        self._rest.clear()
        return ArrayElement(b"" if self._state == "between" else raw[self._begun :].strip(), raw)

    def _next(self) -> re.Match[bytes] | None:
        """What changes the state next; None where these bytes have nothing more."""
        stops = _STOPS.get(self._state)
        found = None
        if stops is not None and self._at < len(self._rest):
            found = stops.search(self._rest, self._at)
        if found is None:
            self._at = len(self._rest)
        elif found.end() == self._at:  # a lone backslash
            return None
        return found

    def _take(self, found: re.Match[bytes]) -> bool:
        """Takes this step; True where an element ends, before `_at`."""
        step, start = found[0], found.start()
        self._at = found.end()
        match self._state:
            case "container":
                return self._inside(step, start)
            case "string":
                if found[1] is None:  # an escaped quote may end it too
                    return False
                self._state = "container"
                return self._depth == 0 and self._ended()
            case "scalar":
                self._at = start  # the byte after it is not its own
                return self._ended()
            case "between":
                self._begin(step, start)
            case _:
                self._state = "between" if step == b"[" else "no array"
        return False

    def _inside(self, step: bytes, start: int) -> bool:
        """A string, or brackets in a row of which the element's own may be one."""
        if step == b'"':
            self._state = "string"
        elif step[:1] in (b"{", b"["):
            self._depth += len(step)
        elif step[:1] != b'"':
            closed = min(len(step), self._depth)
            self._depth -= closed
            self._at = start + closed
            return self._depth == 0 and self._ended()
        return False

    def _begin(self, byte: bytes, start: int) -> None:
        """The first byte of an element, or the array's end."""
        self._begun = start
        if byte == b"]":
            self._begun += 1
            self._state = "over"
        elif byte in (b"{", b"["):
            self._depth = 1
            self._state = "container"
        else:
            self._state = "string" if byte == b'"' else "scalar"

    def _ended(self) -> bool:
        self._state = "between"
        return True
