"""The ways a text can be read, each with its way back to the text as it was written. Looks for nothing itself.

A model reads a word in full-width letters, in letters of another alphabet that look the same, with zero-width
characters in it or over two parts as that word, and so do detectors. What takes a clue to see is in `disguises`.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from gateway.policy.characters import is_plain, origins_of, plain_text, readable
from gateway.policy.detectors.shape import Place
from gateway.policy.lookalikes import is_mark, taken_for

_SAME_LENGTH = ((r"\n", " \n"), (r"\t", " \t"), (r"\r", " \r"), (r"\"", ' "'), (r"\/", " /"))
_TAG = re.compile("[\U000e0020-\U000e007e]")
_TAGS = {0xE0000 + code: code for code in range(0x20, 0x7F)}
"""Unicode's tag characters: nobody sees them, and models read them as the ASCII that they are copies of."""

Back = Callable[[Sequence[Place]], list[Place]]
"""Places in a reading → the place of each in what it was made of; whole characters of that."""


class Reading(NamedTuple):
    """One way to read a text."""

    text: str
    base: "Reading | None" = None
    """What it was made of; None for the text as it was written."""
    back: Back | None = None
    """The way back to the base; None where places are the same."""
    cut: bool = False
    """Only its beginning is read so; the rest is as it was written."""
    loose: bool = False
    """Letters were guessed: only what was to be found in any spelling counts in it."""

    @property
    def written(self) -> str:
        return self.text if self.base is None else self.base.written

    def base_at(self, place: Place) -> str:
        """What the base says there."""
        if self.base is None:
            return self.text[place[0] : place[1]]
        [(start, end)] = [place] if self.back is None else self.back([place])
        return self.base.text[start:end]

    def written_at(self, places: Iterable[Place]) -> list[Place]:
        """Where these places are in what was written; whole characters of it."""
        found = [place for place in places if place[1] > place[0]]
        if self.base is None:
            return found
        if self.cut:
            return [(0, len(self.written)) for _ in found]
        return self.base.written_at(found if self.back is None else self.back(found))


def simple(text: str) -> bool:
    """Whether there is only one way to read it, unless it is disguised, as with nearly every text."""
    return "\\" not in text and text.isascii()


def readings_of(text: str) -> tuple[Reading, ...]:
    """As it is written, in plain characters, in those it looks like, and each without escapes.

    All are looked at: nothing hides in one.
    """
    written = Reading(text)
    readings = [written]
    if not text.isascii():
        plain = written
        if not is_plain(characters := set(text)):
            plain = _plain_reading(written)
            readings.append(plain)
            characters = set(plain.text)
        # As what tags say, and above as if they were not there: they may be the message or cut it.
        if _TAG.search(text) is not None:
            readings.append(_plain_reading(written, text.translate(_TAGS)))
        readings += _as_it_looks(plain, characters)
    if any("\\" in reading.text for reading in readings):
        readings += [Reading(_unescaped(each.text), each, cut=each.cut) for each in readings]
    different: dict[tuple[str, bool], Reading] = {}
    for reading in readings:
        different.setdefault((reading.text, reading.cut), reading)
    return tuple(different.values())


def _plain_reading(written: Reading, text: str | None = None) -> Reading:
    """Of the text that was written, or of one as long."""
    text = written.text if text is None else text
    whole = readable(text)
    if whole == len(text):
        plain = plain_text(text)
        return Reading(plain, written, partial(_before_normalising, text, len(plain)))
    return Reading(plain_text(text[:whole]) + text[whole:], written, cut=True)


def _before_normalising(text: str, length: int, places: Sequence[Place]) -> list[Place]:
    origins = origins_of(text)
    if len(origins) != length:
        return [(0, len(text)) for _ in places]  # rather all of it than the wrong part
    return [(origins[start][0], origins[end - 1][1]) for start, end in places]


def _as_it_looks(plain: Reading, characters: Iterable[str]) -> Iterator[Reading]:
    """In the letters of ASCII that its own are taken for; nothing where it has none such."""
    taken = {ord(c): letter for c in characters if (letter := taken_for(c)) != c}
    if any(letter.isalnum() or not letter or letter in ".-" for letter in taken.values()):
        marked = "" in taken.values()
        yield Reading(
            plain.text.translate(taken), plain, partial(_before_dropping, plain.text, is_mark) if marked else None
        )


def _before_dropping(text: str, dropped: Callable[[str], bool], places: Sequence[Place]) -> list[Place]:
    kept = [at for at, character in enumerate(text) if not dropped(character)] + [len(text)]
    return [(kept[start], kept[end]) for start, end in places]


def without(reading: Reading, text: str, dropped: Callable[[str], bool], loose: bool) -> Reading:
    """A reading from which all such characters were taken."""
    return Reading(text, reading, partial(_before_dropping, reading.text, dropped), loose=loose)


def pieces(texts: Sequence[str], place: Place) -> Iterator[tuple[int, Place]]:
    """A place in the joined texts as (number, place) in each text that it covers some of."""
    start, end = place
    starts = [0, *accumulate(map(len, texts))]
    number = bisect_right(starts, start) - 1
    while number < len(texts) and starts[number] < end:
        if texts[number]:
            at = starts[number]
            yield number, (max(start - at, 0), min(end - at, len(texts[number])))
        number += 1


def _unescaped(text: str) -> str:
    """Without the escapes of JSON and source code: in `\\nsk-…` the key has no beginning.

    Replaced by as many characters, so that places stay right.
    """
    for escape, same_length in _SAME_LENGTH:
        text = text.replace(escape, same_length)
    return text
