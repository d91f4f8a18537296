"""Readings that a linear scan found a clue for: encoded, spaced out, hyphenated, in leetspeak. Looks for nothing.

Each step reads on from the one before, so that words spaced out in base64 are found too; each is linear, and costs
nothing where a text gives no clue.
"""

import re
from binascii import Error as NotBase64
from binascii import a2b_base64
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from html import unescape
from typing import NamedTuple
from urllib.parse import unquote

from gateway.policy.characters import plain_text, readable
from gateway.policy.detectors.shape import Place, Shape
from gateway.policy.lookalikes import taken_for
from gateway.policy.plain import Reading, without

_GAP = r"[ \t\r\n.,:;_*/|~+-]"
_ESCAPES = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+|&#(?:[xX][0-9A-Fa-f]{1,6}|[0-9]{1,7});?|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}"
)
_RUN = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{11,}={0,2}(?:\r?\n[A-Za-z0-9+/_-]{4,}={0,2})*")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_HEX_PAIRS = re.compile(r"\b(?:0x)?[0-9A-Fa-f]{2}(?:[ :,]{1,2}(?:0x)?[0-9A-Fa-f]{2}){5,}\b")
_PAIR = re.compile(r"(?:0x)?([0-9A-Fa-f]{2})[ :,]*")
_SPACED = re.compile(rf"(?<![A-Za-z0-9])[A-Za-z0-9](?:{_GAP}{{1,3}}[A-Za-z0-9](?![A-Za-z0-9])){{3,}}")
_GROUPS = re.compile(r"(?<![\w./|:])[0-9]{4}([._/|:])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?!\w|[./|:][0-9])")
_GAPS = re.compile(rf"{_GAP}+")
_URL_SAFE = str.maketrans("-_", "+/", "\r\n=")
_LEET = "0134578@$|!+9"
_AS_I, _AS_L = (str.maketrans(_LEET, f"o{one}eastbas{one}{one}tg") for one in "il")
_HYPHENS = "-_*~"

_ENCODED, _PAIRS, _ESCAPED, _SPREAD, _GROUPED, _JOINED, _LEETED = (
    "encoded",
    "pairs",
    "escaped",
    "spread",
    "grouped",
    "joined",
    "leet",
)
CLUES = (
    # Of plain ASCII each fourth digit in base64 is one of the first 32, and each pair of hexadecimal ones begins so.
    Shape(_ENCODED, r"(?:[A-Za-f][A-Za-z0-9+/_-]{3}){4}"),
    Shape(_ENCODED, r"[A-Za-f][A-Za-z0-9+/_-]{3}[A-Za-f][A-Za-z0-9+/_-]{3}[A-Za-f][A-Za-z0-9+/_-]{1,2}="),
    Shape(_ENCODED, r"(?:[2-7][0-9A-Fa-f]){8}"),
    Shape(_PAIRS, r"[0-9A-Fa-f][ :,](?:0x)?[2-7][0-9A-Fa-f][ :,](?:0x)?[2-7][0-9A-Fa-f][ :,](?:0x)?[2-7]"),
    Shape(_ESCAPED, r"%[0-9A-Fa-f]{2}|&#[0-9xX]|\\[ux][0-9A-Fa-f]{2}"),
    Shape(_SPREAD, rf"(?:{_GAP}[A-Za-z0-9]){{3}}{_GAP}"),
    Shape(_SPREAD, rf"(?:{_GAP}{{2,3}}[A-Za-z0-9]){{3}}{_GAP}"),
    Shape(_GROUPED, r"[0-9]{4}[._/|:][0-9]{4}[._/|:][0-9]{4}[._/|:][0-9]{4}"),
    Shape(_JOINED, r"[A-Za-z][*_~-]{1,2}[A-Za-z]"),
    Shape(_LEETED, r"[A-Za-z][0134578@$|!+9][A-Za-z]"),
    Shape(_LEETED, r"[A-Za-z][0134578@$|!+9][0134578@$|!+9][A-Za-z]"),
)
"""What a text has that may be read in one of these ways."""


def further(reading: Reading, clues: Iterable[str], scan: Callable[[Reading], Iterable[str]]) -> None:
    """Read on, as far as there are clues. `scan` gets each new reading and says what clues it gives in turn."""
    known = set(clues)
    for clue, read in _STEPS:
        if clue in known:
            for each in read(reading):
                said = scan(each)
                if not each.loose:  # what was guessed gives no clue
                    known.update(said)
                reading = each


def told(reading: Reading, places: Iterable[Place]) -> list[Place]:
    """Those places of a guessed reading that its base does not say already, if most of what stands there is letters.

    `8055` is no boss.
    """
    kept = []
    for place in places:
        before = reading.base_at(place)
        if before != reading.text[place[0] : place[1]] and 2 * sum(map(str.isalpha, before)) >= len(before):
            kept.append(place)
    return kept


class Swap(NamedTuple):
    start: int
    """In the text that was made, as `end` is."""
    end: int
    was: Place


def swapped(reading: Reading, expression: re.Pattern[str], read: Callable[[str], str]) -> Reading | None:
    """With what is written in place of each match, where that differs; None where it never does."""
    text = reading.text
    made: list[str] = []
    swaps: list[Swap] = []
    kept = length = 0
    for match in expression.finditer(text):
        written = match[0]
        said = read(written)
        if said == written:
            continue
        start, end = match.span()
        length += start - kept
        made += (text[kept:start], said)
        swaps.append(Swap(length, length + len(said), (start, end)))
        length += len(said)
        kept = end
    if not swaps:
        return None
    return Reading("".join([*made, text[kept:]]), reading, partial(_before_swaps, swaps))


def _before_swaps(swaps: Sequence[Swap], places: Sequence[Place]) -> list[Place]:
    starts = [swap.start for swap in swaps]

    def before(at: int, side: int) -> int:
        """Where a character was; `side` 0 for its beginning, 1 for its end."""
        number = bisect_right(starts, at) - 1
        if number < 0:
            return at + side
        swap = swaps[number]
        return swap.was[side] if at < swap.end else at - swap.end + swap.was[1] + side

    return [(before(start, 0), before(end - 1, 1)) for start, end in places]


def _from_pairs(reading: Reading) -> Iterator[Reading]:
    if (made := swapped(reading, _HEX_PAIRS, _of_pairs)) is not None:
        yield made


def _decoded(reading: Reading) -> Iterator[Reading]:
    if (made := swapped(reading, _RUN, _of_run)) is not None:
        yield made


def _of_pairs(written: str) -> str:
    return _words(bytes.fromhex("".join(_PAIR.findall(written)))) or written


def _of_run(written: str) -> str:
    """What base64 or hexadecimal digits say: as a whole, else line by line."""
    said = _of_digits(written)
    if said is None and "\n" in written:
        return "\n".join([_of_digits(line) or line for line in written.split("\n")])
    return said or written


def _of_digits(written: str) -> str | None:
    if _HEX.fullmatch(written) and (said := _words(bytes.fromhex(written))) is not None:
        return said
    if written.islower():
        return None  # a name, as most are: text has capitals in base64
    digits = written.translate(_URL_SAFE)
    try:
        return _words(a2b_base64(digits[: len(digits) - (len(digits) % 4 == 1)] + "=" * (-len(digits) % 4)))
    except NotBase64:
        return None


def _words(data: bytes) -> str | None:
    """What the bytes say in plain characters; None where they are no text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if not text.replace("\n", "").replace("\t", "").replace("\r", "").isprintable():
        return None
    return text if text.isascii() else _as_ascii(text)


def _as_ascii(text: str) -> str:
    text = plain_text(text) if readable(text) == len(text) else text
    return "".join(map(taken_for, text))


def _unescaped(reading: Reading) -> Iterator[Reading]:
    if (made := swapped(reading, _ESCAPES, _of_escape)) is not None:
        yield made


def _of_escape(written: str) -> str:
    match written[0]:
        case "%":
            said = unquote(written, errors="replace")
        case "&":
            said = unescape(written if written.endswith(";") else f"{written};")
        case _:
            said = chr(int(written[2:], 16))
    return said if said.isascii() else _as_ascii(said)


def _drawn_together(reading: Reading) -> Iterator[Reading]:
    if (made := swapped(reading, _SPACED, _without_gaps)) is not None:
        yield made


def _without_gaps(written: str) -> str:
    """`n i g h t   j a r` is two words: what is between the first two characters is between any two of one word."""
    if "\n" in written and not any(map(str.isalpha, written)):
        return written  # rows of a matrix
    gap = _GAPS.search(written)
    usual = gap[0] if gap else ""
    return _GAPS.sub(lambda found: "" if found[0] == usual else " ", written)


def _grouped(reading: Reading) -> Iterator[Reading]:
    """A card's groups behind other marks than people put between them."""
    if (made := swapped(reading, _GROUPS, lambda written: re.sub(r"\D", " ", written))) is not None:
        yield made


def _joined(reading: Reading) -> Iterator[Reading]:
    text = reading.text
    for hyphen in _HYPHENS:
        text = text.replace(hyphen, "")
    yield without(reading, text, _HYPHENS.__contains__, loose=True)


def _in_letters(reading: Reading) -> Iterator[Reading]:
    as_i = reading.text.translate(_AS_I)
    yield Reading(as_i, reading, loose=True)
    as_l = reading.text.translate(_AS_L)
    if as_l != as_i:
        yield Reading(as_l, reading, loose=True)


_STEPS: tuple[tuple[str, Callable[[Reading], Iterator[Reading]]], ...] = (
    (_ESCAPED, _unescaped),
    (_PAIRS, _from_pairs),
    (_ENCODED, _decoded),
    (_SPREAD, _drawn_together),
    (_GROUPED, _grouped),
    (_JOINED, _joined),
    (_LEETED, _in_letters),
)
