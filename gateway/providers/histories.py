"""Bodies that begin as an earlier one did, as each turn of a conversation does: only what is behind that is read anew.

A repeated history is known by its bytes, compared as a whole: to go through the JSON of 190 KB, to copy each message
out of it and look it up takes 300 µs, to compare them takes 10. No I/O.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import accumulate

import msgspec

from gateway.model.message import Entry, RequestReading

LEAST = 8 * 1024
"""Bytes; what is shorter is read as quickly as it is found."""
_GRID, _SAMPLE = 4096, 64
"""A body is found by the bytes ahead of some multiples of the grid: by each that a longer one has there too."""
_DOUBLINGS = 8
_BESIDE_ENTRY = 600
"""Bytes that a message takes beside its entry's own: where it ends, what it says, a turn's hash."""
MAX_ENTRIES = 20_000
"""Of one request: no conversation has a million messages."""


class _Array(msgspec.Struct):
    messages: list[msgspec.Raw]


_decode_array = msgspec.json.Decoder(_Array).decode
_KEY, _OPENED = b'"messages":', b'{"messages":['


class _Known(msgspec.Struct, eq=False, gc=False):
    api: str
    raw: bytes
    begin: int
    """Where in it the first message begins."""
    ends: list[int]
    """Where each ends."""
    weights: list[int]
    """Bytes that all up to each take, beside those of the body."""
    reading: RequestReading
    size: int = 0

    def __post_init__(self) -> None:
        around = sum([entry.size for entry in (*self.reading.system, *self.reading.definitions)])
        self.size = len(self.raw) + self.weights[-1] + around + len(self.reading.tools or b"")


class Histories:
    """One worker's, bounded in bytes, least recently used first out; not thread-safe."""

    def __init__(self, limit_bytes: int = 64 * 1024 * 1024) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self.hits = 0
        self._kept: OrderedDict[int, _Known] = OrderedDict()
        """By `id`."""
        self._by_sample: dict[bytes, _Known] = {}

    def read(self, api: str, body: bytes, read: Callable[[bytes], RequestReading]) -> RequestReading:
        """`read(body)`, or what equals it."""
        known = self._alike(api, body)
        count = _repeated(known, body) if known is not None else 0
        if known is not None and count:
            longer = _read_on(known, count, body, read)
            if longer is not None:
                self.hits += 1
                if 2 * count > len(known.ends):
                    self._drop(known)  # the longer one takes its place
                self._keep(longer, count)
                return longer.reading
        reading = read(body)
        if (
            reading.reader is not None
            and reading.state == "full"
            and (place := _place(body, len(reading.messages))) is not None
        ):
            self._keep(_Known(api, body, *place, _weights(0, reading.messages), reading), 0)
        return reading

    def _alike(self, api: str, body: bytes) -> _Known | None:
        find = self._by_sample.get
        for at in range(len(body) // _GRID * _GRID, 0, -_GRID):
            known = find(body[at - _SAMPLE : at])
            if known is not None and known.api == api:
                return known
        return None

    def _keep(self, known: _Known, repeated: int) -> None:
        if known.size > self.limit_bytes // 4 or any(entry.compacts for entry in known.reading.messages[repeated:]):
            return  # of what compacts a reading speaks as a whole
        self._kept[id(known)] = known
        self.bytes += known.size
        for sample in _samples(known):
            self._by_sample[sample] = known
        while self.bytes > self.limit_bytes:
            self._drop(next(iter(self._kept.values())))

    def _drop(self, known: _Known) -> None:
        del self._kept[id(known)]
        self.bytes -= known.size
        for sample in _samples(known):
            if self._by_sample.get(sample) is known:
                del self._by_sample[sample]


def _samples(known: _Known) -> list[bytes]:
    """Near its end, where conversations differ, and less near, because clients mark their latest messages."""
    last = known.ends[-1] // _GRID
    grid = [at * _GRID for back in range(_DOUBLINGS) if (at := last - (1 << back >> 1)) > 0]
    return [known.raw[at - _SAMPLE : at] for at in grid]


def _repeated(known: _Known, body: bytes) -> int:
    """How many of the known messages the body begins with, or somewhat fewer."""
    raw = memoryview(known.raw)
    count, fewer = len(known.ends), 1
    while count > 0 and not body.startswith(raw[: known.ends[count - 1]]):
        count -= fewer
        fewer *= 2
    return max(0, count)


def _read_on(known: _Known, count: int, body: bytes, read: Callable[[bytes], RequestReading]) -> _Known | None:
    """None where the body must be read as a whole.

    SECURITY: not a guess. Behind a known message and its comma a parser stands in the same list as where the first
    begins, but that another must follow; so what it makes of the rest is the same with and without them. What it makes
    of each message is the same, too: a reading with a `reader` has them one by one, by that.
    """
    end = known.ends[count - 1]
    more = body.startswith(b",", end)
    if not (more or body.startswith(b"]", end)) or 2 * end < len(body):
        return None  # where most is new there is little to win, and what turns out unreadable is gone through twice
    behind = end + (body.startswith(b" ", end + 1) + 1 if more else 0)
    rest = body[behind:]
    ends = _ends(body, behind, _OPENED + rest)
    if ends is None or bool(ends) != more or count + len(ends) > MAX_ENTRIES:
        return None
    reading = read(body[: known.begin] + rest)
    earlier = known.reading
    if reading.state != "full" or len(reading.messages) != len(ends) or reading.reader is not earlier.reader:
        return None
    weights = known.weights[:count] + _weights(known.weights[count - 1], reading.messages)
    reading.messages = earlier.messages[:count] + reading.messages
    reading.earlier, reading.repeated = earlier, count
    earlier.earlier = None  # one is enough: they must not keep each other alive for a conversation's length
    return _Known(known.api, body, known.begin, known.ends[:count] + ends, weights, reading)


def _weights(begin: int, entries: Sequence[Entry]) -> list[int]:
    return [*accumulate([entry.size + _BESIDE_ENTRY for entry in entries], initial=begin)][1:]


def _place(body: bytes, count: int) -> tuple[int, list[int]] | None:
    """Where the first of so many messages begins and where each ends; None where that is not certain."""
    at = body.find(_KEY)
    begin = body.find(b"[", at) + 1
    if at < 0 or body[at + len(_KEY) : begin] not in (b"[", b" ["):
        return None
    ends = _ends(body, begin, body)
    if not ends or len(ends) != count:
        return None
    # The first list of that name may stand further in and say the same: without it, the request's own must be empty.
    left = _messages(body[:begin] + body[ends[-1] :])
    return None if left is None or left else (begin, ends)


def _ends(body: bytes, begin: int, of: bytes) -> list[int] | None:
    """Where each message of `of` ends, if they stand in the body from there on, one behind the other."""
    items = _messages(of)
    if items is None:
        return None
    comma = b", " if items and body.startswith(b", ", begin + len(items[0])) else b","
    if not body.startswith(comma.join(items), begin):
        return None
    ends = accumulate([len(item) + len(comma) for item in items], initial=begin)
    return [end - len(comma) for end in ends][1:]


def _messages(body: bytes) -> list[bytes] | None:
    try:
        return [*map(bytes, _decode_array(body).messages)]
    except (ValueError, RecursionError):
        return None
