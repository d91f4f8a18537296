"""All shapes of all agents as one Hyperscan database, and the exact places on demand. Knows no agents, judges nothing.

Two steps, because most texts have nothing: one pass says which shapes occur at all, at most one event a shape, so a
text made of a million matches costs no more than any other; only a shape that occurs is then looked for on its own.
Finding the start of a match was measured to cost nothing on clean texts (0.31 µs either way for 100 bytes), but an
event costs 130 ns, and an open-ended pattern has one for each byte.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

import hyperscan

from gateway.policy.detectors.shape import Place, Shape

MAX_PLACES = 1_000
"""Of one shape in one text; more are not told apart."""
MAX_EVENTS = 20_000
_CONTINUATIONS = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that do not begin a character."""


class Places(NamedTuple):
    places: list[Place]
    more: bool = False
    """There may be more than these."""


class Scanner:
    """One set of shapes, by their index. Not thread-safe: Hyperscan's scratch space belongs to one scan at a time."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.shapes = tuple(shapes)
        self.scans = 0
        self._noticed: list[int] = []
        self._database = _database(self.shapes, hyperscan.HS_FLAG_SINGLEMATCH) if shapes else None
        self._locators = [_locator(shape) for shape in self.shapes]

    def noticed(self, text: str) -> list[int]:
        """Which shapes may be in this text. Raises hyperscan.error."""
        self.scans += 1
        if self._database is None:
            return []
        self._noticed.clear()
        # Lone surrogates become `?`: one character too, so places stay right, and UTF-8 mode may not see bad UTF-8.
        self._database.scan(text.encode("utf-8", "replace"), match_event_handler=self._notice)
        return self._noticed[:]

    def _notice(self, shape: int, start: int, end: int, flags: int, context: object) -> None:
        self._noticed.append(shape)

    def places(self, index: int, text: str) -> Places:
        """Where this shape really is. Raises what its `find` or `confirm` raises."""
        shape = self.shapes[index]
        if shape.find is not None:
            return _bounded(shape.find(text))
        locator = self._locators[index]
        if locator is None:
            return Places([(0, len(text))])
        matches, more = _matches(locator, text)
        if shape.confirm is None:
            return _bounded(_apart(matches), more)
        return _bounded(_confirmed(shape, text, matches), more)


def _locator(shape: Shape) -> Any:
    """Finds starts too. None where none are needed, or it is too large for that: then the place is the whole text."""
    if shape.find is not None:
        return None
    try:
        return _database([shape], hyperscan.HS_FLAG_SOM_LEFTMOST)
    except hyperscan.error:
        if shape.confirm is not None:
            raise  # our own shapes need their start
        return None


def _database(shapes: Sequence[Shape], mode: int) -> Any:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [
        mode
        | (hyperscan.HS_FLAG_CASELESS if shape.ignore_case else 0)
        | (hyperscan.HS_FLAG_UTF8 if shape.unicode else 0)
        for shape in shapes
    ]
    database.compile(
        expressions=[shape.expression.encode() for shape in shapes],
        ids=list(range(len(shapes))),
        elements=len(shapes),
        flags=flags,
    )
    return database


def _bounded(places: Iterable[Place], more: bool = False) -> Places:
    kept = list(islice(places, MAX_PLACES + 1))
    return Places(kept[:MAX_PLACES], more or len(kept) > MAX_PLACES)


def _matches(database: Any, text: str) -> tuple[list[Place], bool]:
    """The longest match at each start, in characters, in order; and whether the events were cut off."""
    ends: dict[int, int] = {}
    events = 0

    def on_match(shape: int, start: int, end: int, flags: int, context: object) -> bool:
        nonlocal events
        events += 1
        ends[start] = max(end, ends.get(start, 0))
        return events >= MAX_EVENTS  # True stops the scan

    data = text.encode("utf-8", "replace")
    with suppress(hyperscan.ScanTerminated):
        database.scan(data, match_event_handler=on_match)
    places = sorted(ends.items())
    return (places if len(data) == len(text) else _in_characters(data, places)), events >= MAX_EVENTS


def _in_characters(data: bytes, places: Sequence[Place]) -> list[Place]:
    offsets: dict[int, int] = {}
    at = characters = 0
    for offset in sorted({offset for place in places for offset in place}):
        characters += len(data[at:offset].translate(None, _CONTINUATIONS))
        offsets[offset] = characters
        at = offset
    return [(offsets[start], offsets[end]) for start, end in places]


def _apart(places: Iterable[Place]) -> Iterable[Place]:
    """Without those that lie in the previous one."""
    reached = -1
    for start, end in places:
        if start >= reached:
            yield start, end
            reached = end


def _confirmed(shape: Shape, text: str, matches: Iterable[Place]) -> Iterable[Place]:
    assert shape.confirm is not None
    reached = -1
    for start, end in matches:
        if start < reached:
            continue
        place = shape.confirm(text, start)
        if place is not None:
            yield place
        # Past what was looked at, kept or not: a text full of starts must not be read again from each of them.
        reached = max(end, place[1]) if place is not None else end
