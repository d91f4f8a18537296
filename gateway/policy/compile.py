"""All shapes of all agents as one Hyperscan database, and the exact places on demand. Knows no agents, judges nothing.

Two steps, because most texts have nothing: one pass says which shapes occur at all, at most one event a shape, so a
text made of a million matches costs no more than any other; only a shape that occurs is then looked for on its own,
with bounded effort: what is given up is said, never taken for clean.
Finding the start of a match was measured to cost nothing on clean texts (0.31 µs either way for 100 bytes), but an
event costs 130 ns, and an open-ended pattern has one for each byte.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import hyperscan

from gateway.policy.detectors.shape import Place, Shape
from gateway.policy.disguises import CLUES, further, told
from gateway.policy.plain import Reading, readings_of

MAX_PLACES = 1_000
"""Of one shape in one text; more are not told apart."""
MAX_CANDIDATES = 2_000
"""Looked at closely, of one shape in one text. A few microseconds each."""
EVENTS_A_CANDIDATE = 10
"""An open-ended pattern has an event for each byte of a place."""
_LEAST_CANDIDATES = 50
_CONTINUATIONS = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that do not begin a character."""


class Places(NamedTuple):
    places: list[Place]
    more: bool = False
    """There may be more than these."""


class Effort:
    """How many candidates one message may still cost, over its texts and all shapes."""

    __slots__ = ("_left",)

    def __init__(self, candidates: int = 2 * MAX_CANDIDATES) -> None:
        self._left = candidates

    @property
    def allowance(self) -> int:
        """For the next shape in the next text. Never nothing: a flood of one kind must not hide one key of another."""
        return max(_LEAST_CANDIDATES, min(MAX_CANDIDATES, self._left))

    def spend(self, candidates: int) -> None:
        self._left -= candidates


class Noticed(NamedTuple):
    """One way to read a text, and the shapes that may be in it."""

    reading: Reading
    shapes: Sequence[int]


_NOTHING: Sequence[Noticed] = ()


class Scanner:
    """One set of shapes, by their index. Not thread-safe: Hyperscan's scratch space belongs to one scan at a time."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.shapes = tuple(shapes)
        self.scans = 0
        self._matched: list[int]
        self._on_match = self._match
        # The same scan tells whether a text may be in disguise: behind the shapes come the clues.
        self._clues = [clue.name for clue in CLUES]
        self._database = _all_of(self.shapes) if shapes else None
        self._locators = [_locator(shape) for shape in self.shapes]

    def noticed(self, text: str) -> Sequence[Noticed]:
        """What may be in this text, for each way to read it; empty where nothing may. Raises hyperscan.error."""
        if text.isascii() and "\\" not in text and self._database is not None:
            # Nearly every text: `_scan` is written out, and where nothing matches nothing is made.
            self.scans += 1
            matched: list[int] = []
            self._matched = matched
            self._database.scan(text.encode(), match_event_handler=self._on_match)
            return self._noticed(Reading(text), matched) if matched else _NOTHING
        noticed: list[Noticed] = []
        for reading in readings_of(text):
            matched = self._scan(reading.text)
            if matched or reading.cut:
                noticed += self._noticed(reading, matched)
        return noticed

    def _scan(self, text: str) -> list[int]:
        """Shapes and, behind them, clues."""
        self.scans += 1
        if self._database is None:
            return []
        matched: list[int] = []
        self._matched = matched
        # Lone surrogates become `?`: one character too, so places stay right, and UTF-8 mode may not see bad UTF-8.
        self._database.scan(text.encode("utf-8", "replace"), match_event_handler=self._on_match)
        return matched

    def _match(self, shape: int, start: int, end: int, flags: int, context: object) -> None:
        self._matched.append(shape)

    def _noticed(self, reading: Reading, matched: Sequence[int]) -> list[Noticed]:
        """In this reading, and in those that it gives clues for."""
        count = len(self.shapes)
        if max(matched, default=0) < count:
            return [Noticed(reading, matched)]
        noticed: list[Noticed] = []

        def read(each: Reading, found: Sequence[int]) -> list[str]:
            shapes = [index for index in found if index < count and (self.shapes[index].loose or not each.loose)]
            if shapes or each.cut:
                noticed.append(Noticed(each, shapes))
            return [self._clues[index - count] for index in found if index >= count]

        further(reading, read(reading, matched), lambda each: read(each, self._scan(each.text)))
        return noticed

    def places_in(self, index: int, reading: Reading, effort: Effort | None = None) -> Places:
        """Where this shape really is in a reading. In a guessed one only what the guess made. Raises as `places`."""
        found = self.places(index, reading.text, effort)
        return Places(told(reading, found.places), found.more) if reading.loose else found

    def places(self, index: int, text: str, effort: Effort | None = None) -> Places:
        """Where this shape really is. Raises what its `find` or `confirm` raises."""
        shape = self.shapes[index]
        effort = effort or Effort()
        if shape.find is not None:
            return _bounded(shape.find(text), effort)
        locator = self._locators[index]
        if locator is None:
            return Places([(0, len(text))])
        matches, more = _matches(locator, text, EVENTS_A_CANDIDATE * effort.allowance)
        apart = _apart(matches) if shape.confirm is None else _confirmed(shape.confirm, text, matches)
        return _bounded(apart, effort, more)


@lru_cache(maxsize=8)
def _all_of(shapes: tuple[Shape, ...]) -> Any:
    """Of these and the clues; it takes a second, and policy files are read again more often than patterns change."""
    return _database([*shapes, *CLUES], hyperscan.HS_FLAG_SINGLEMATCH)


@lru_cache(maxsize=1024)
def _locator(shape: Shape) -> Any:
    """Finds starts too; made once, for sets that come one after the other have most shapes in common.

    None where none are needed, or it is too large for that: then the place is the whole text.
    """
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


def _bounded(candidates: Iterable[Place | None], effort: Effort, more: bool = False) -> Places:
    allowance = effort.allowance
    kept: list[Place] = []
    looked_at = 0
    for place in candidates:
        if looked_at == allowance or len(kept) == MAX_PLACES:
            more = True
            break
        looked_at += 1
        if place is not None:
            kept.append(place)
    effort.spend(looked_at)
    return Places(kept, more)


def _matches(database: Any, text: str, limit: int) -> tuple[list[Place], bool]:
    """The longest match at each start, in characters, in order; and whether the events were cut off."""
    ends: dict[int, int] = {}
    events = 0

    def on_match(shape: int, start: int, end: int, flags: int, context: object) -> bool:
        nonlocal events
        events += 1
        ends[start] = max(end, ends.get(start, 0))
        return events >= limit  # True stops the scan

    data = text.encode("utf-8", "replace")
    with suppress(hyperscan.ScanTerminated):
        database.scan(data, match_event_handler=on_match)
    places = sorted(ends.items())
    return (places if len(data) == len(text) else _in_characters(data, places)), events >= limit


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


def _confirmed(
    confirm: Callable[[str, int], Place | None], text: str, matches: Iterable[Place]
) -> Iterable[Place | None]:
    reached = -1
    for start, end in matches:
        if start < reached:
            continue
        place = confirm(text, start)
        yield place
        # Past what was looked at, kept or not: a text full of starts must not be read again from each of them.
        reached = max(end, place[1]) if place is not None else end
