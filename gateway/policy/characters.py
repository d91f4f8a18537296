"""Text in plain characters: Unicode's NFKC, linear in time and bounded in growth, and the way back."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from unicodedata import category, combining, normalize

from gateway.policy.detectors.shape import Place

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


def readable(text: str) -> int:
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


def is_plain(characters: Iterable[str]) -> bool:
    """Whether a text of these is in plain characters already, as most are in most languages."""
    return not any(map(_changes, characters))


@lru_cache(maxsize=4096)
def _changes(character: str) -> bool:
    """Whether a text with it may be another in plain characters."""
    return not character.isascii() and (normalize("NFKC", character) != character or not _begins(character))


def plain_text(text: str) -> str:
    """In compatibility characters (Unicode's NFKC), without those that nobody sees."""
    unseen = {ord(character): None for character in set(text) if _ignorable(character)}
    broken = _with_breaks(text.translate(unseen) if unseen else text)
    if len(broken) > _FEW:  # put in beforehand, what is longer takes a fraction of the time
        longer = {ord(character): normalize("NFKC", character) for character in set(broken) if _growth(character)}
        broken = broken.translate(longer) if longer else broken
    return normalize("NFKC", broken).replace(_BREAK, "")


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


def origins_of(text: str) -> list[Place]:
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
