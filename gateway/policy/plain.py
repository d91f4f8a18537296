"""The ways a text can be read, each with its way back to the text as it was written. Looks for nothing itself.

A model reads a word in full-width letters, with zero-width characters in it or over two parts as that word, and so do
detectors.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple
from unicodedata import category, combining, normalize

from gateway.policy.detectors.shape import Place

_SAME_LENGTH = ((r"\n", " \n"), (r"\t", " \t"), (r"\r", " \r"), (r"\"", ' "'), (r"\/", " /"))
_ALSO_IGNORABLE = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xFFF0, 0xFFF9),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
"""Unicode's Default_Ignorable_Code_Point outside category Cf: fillers and variation selectors."""

_TAG = re.compile("[\U000e0020-\U000e007e]")
_TAGS = {0xE0000 + code: code for code in range(0x20, 0x7F)}
"""Unicode's tag characters: nobody sees them, and models read them as the ASCII that they are copies of."""
_MARKS_IN_A_ROW = 30
"""More are no letter of any language (Unicode's Stream-Safe Text Format, UAX #15)."""
_MANY_MARKS = re.compile(f"\0{{{_MARKS_IN_A_ROW + 1},}}")
_GROWTH_PER_CHARACTER, _GROWTH_FREE = 2, 4096
"""How many characters longer than written a text is read. One of nothing but ellipses, which are three dots each, still
is; a million times the character that is a phrase of eighteen is not."""
_FEW = 240
"""Nothing becomes more than 18 characters (U+FDFA): so few need no look at how many they become."""
_BREAK = "\u034f"
"""Combining grapheme joiner: marks on its two sides are not put in order together. Nobody sees it."""


class Reading(NamedTuple):
    """One way to read a text."""

    text: str
    written: str | None = None
    """What was written, where places in `text` are not places in that."""
    cut: bool = False
    """Only its beginning is read so; the rest is as it was written."""

    def written_at(self, places: Iterable[Place]) -> list[Place]:
        """Where these places are in what was written; whole characters of it."""
        if self.written is None:
            return [*places]
        if self.cut:
            return [(0, len(self.written)) for _ in places]
        origins = _origins(self.written)
        if len(origins) != len(self.text):
            return [(0, len(self.written)) for _ in places]  # rather all of it than the wrong part
        return [(origins[start][0], origins[end - 1][1]) for start, end in places if end > start]


def simple(text: str) -> bool:
    """Whether there is only one way to read it, as with nearly every text."""
    return "\\" not in text and text.isascii()


def readings_of(text: str) -> tuple[Reading, ...]:
    """As it is written, without escapes, and both in plain characters. All are looked at: nothing hides in one."""
    readings = [Reading(text)]
    if not text.isascii() and ((plain := _plain_reading(text)).cut or plain.text != text):
        readings.append(plain)
        # As what tags say, and above as if they were not there: they may be the message or cut it.
        if _TAG.search(text) is not None:
            readings.append(_plain_reading(text.translate(_TAGS)))
    if any("\\" in reading.text for reading in readings):
        readings += [reading._replace(text=_unescaped(reading.text)) for reading in readings]
    return tuple(dict.fromkeys(readings))


def _plain_reading(text: str) -> Reading:
    readable = _readable(text)
    if readable == len(text):
        return Reading(plain_text(text), text)
    return Reading(plain_text(text[:readable]) + text[readable:], text, cut=True)


def _readable(text: str) -> int:
    """How many of its characters may be put in plain ones: all, unless that makes very many of them."""
    size = len(text)
    if size <= _FEW:
        return size
    longer = {character: growth for character in set(text) if (growth := _growth(character)) > _GROWTH_PER_CHARACTER}
    if not longer:
        return size
    allowed = _GROWTH_PER_CHARACTER * size + _GROWTH_FREE
    counts = Counter(text)
    if sum(count * _growth(character) for character, count in counts.items()) <= allowed:
        return size
    return allowed // max(longer.values())


def plain_text(text: str) -> str:
    """In compatibility characters (Unicode's NFKC), without those that nobody sees."""
    unseen = {ord(character): None for character in set(text) if _ignorable(character)}
    broken = _with_breaks(text.translate(unseen) if unseen else text)
    if len(broken) > _FEW:  # put in beforehand, what is longer takes a fraction of the time
        longer = {ord(character): normalize("NFKC", character) for character in set(broken) if _growth(character)}
        broken = broken.translate(longer) if longer else broken
    return normalize("NFKC", broken).replace(_BREAK, "")


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


def _with_breaks(text: str) -> str:
    """Never more marks in a row than letters have: putting them in order takes time by the square of their number, a
    minute for half a megabyte."""
    marks = {ord(character): "\0" for character in set(text) if _is_mark(character)}
    if len(text) <= _MARKS_IN_A_ROW or not marks:
        return text
    pieces: list[str] = []
    kept = 0
    for run in _MANY_MARKS.finditer(text.translate(marks)):
        start, end = run.span()
        pieces.append(text[kept:start])
        pieces.append(
            _BREAK.join([text[at : min(at + _MARKS_IN_A_ROW, end)] for at in range(start, end, _MARKS_IN_A_ROW)])
        )
        kept = end
    return "".join([*pieces, text[kept:]])


@lru_cache(maxsize=4096)
def _growth(character: str) -> int:
    """By how many characters normalising makes it more."""
    return 0 if character.isascii() else len(normalize("NFKC", character)) - 1


@lru_cache(maxsize=4096)
def _is_mark(character: str) -> bool:
    """Also those that only begin with one once they are taken apart."""
    return not character.isascii() and combining(normalize("NFKD", character)[0]) != 0


def _ignorable(character: str) -> bool:
    return not character.isascii() and (category(character) == "Cf" or character in _ALSO_IGNORABLE)


def _origins(text: str) -> list[Place]:
    """For each character of the plain text the place in this one that it was made of."""
    begins = {character: _begins(character) for character in set(text)}
    cuts = [0, *(at for at, character in enumerate(text) if at and begins[character]), len(text)]
    lengths: dict[str, int] = {}
    origins: list[Place] = []
    for place in pairwise(cuts):
        cluster = text[place[0] : place[1]]
        length = lengths.get(cluster)
        if length is None:
            length = lengths[cluster] = len(plain_text(cluster))
        origins += [place] * length
    return origins


def _begins(character: str) -> bool:
    """Whether normalising joins it to nothing before it, as it does marks and a Hangul syllable's later letters."""
    if character.isascii():
        return True
    first = normalize("NFKC", character)[0]
    return not (_ignorable(character) or category(first)[0] == "M" or "\u1160" <= first <= "\u11ff")
