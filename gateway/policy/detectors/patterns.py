"""What users wrote: regular expressions and keywords. Refuses what cannot be matched in linear time."""

import re
from collections.abc import Iterator
from functools import partial

import hyperscan

from gateway.policy.detectors.shape import Place, Shape

_REMEDIES = (
    ("Zero-width assertions", "look-ahead and look-behind cannot be matched in linear time; use \\b or spell it out"),
    ("Back-references", "back-references cannot be matched in linear time; spell the alternatives out"),
    ("empty buffer", "it matches empty text; make some part of it mandatory"),
    ("too large", "it is too large; use smaller repeats such as {0,40} or split it"),
    ("\\b unsupported", "\\b does not go with (*UCP); leave (*UCP) out or use `keywords`"),
)
_BOUNDARY_BESIDE_NON_ASCII = re.compile(r"\\[bB][^\x00-\x7f]|[^\x00-\x7f]\\[bB]")


def pattern_shape(number: int, expression: str) -> Shape:
    """A user's pattern; its places come from Hyperscan alone: Python's `re` may take exponential time.

    UTF-8 mode was measured to cost nothing, so every pattern has it. UCP mode forbids \\b and takes 60 ms a pattern to
    compile, so no pattern has it: \\w, \\s and \\b mean ASCII.
    """
    return Shape(f"pattern:{number}", expression, unicode=True, loose=True)


def checked_pattern(expression: str) -> str:
    """The expression, if it can be matched in linear time. Raises ValueError with the remedy."""
    if not expression:
        raise ValueError("is empty; write a regular expression")
    if _BOUNDARY_BESIDE_NON_ASCII.search(expression):
        raise ValueError("\\b beside a letter outside ASCII never matches; use `keywords`, which know such letters")
    try:
        _compiled(expression)
    except (hyperscan.error, UnicodeEncodeError) as error:
        raise ValueError(_remedy(str(error))) from error
    return expression


def _compiled(expression: str) -> None:
    """Raises hyperscan.error; also for what matches nothing at all, such as `^`: only a search for starts tells."""
    for mode in (hyperscan.HS_FLAG_SINGLEMATCH, hyperscan.HS_FLAG_SOM_LEFTMOST):
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        try:
            database.compile(
                expressions=[expression.encode()], ids=[0], elements=1, flags=[hyperscan.HS_FLAG_UTF8 | mode]
            )
        except hyperscan.error as error:
            if mode == hyperscan.HS_FLAG_SINGLEMATCH or "empty buffer" in str(error):
                raise


def _remedy(problem: str) -> str:
    for sign, remedy in _REMEDIES:
        if sign in problem:
            return remedy
    return f"is not a regular expression Hyperscan understands ({problem.rstrip('.')}); mend it"


def keyword_shape(number: int, keyword: str) -> Shape:
    """A word or phrase, whatever its case, whole words only; any white space between its words."""
    words = keyword.split()
    loose = r"\s+".join(_escaped(word) for word in words)
    exact = r"\s+".join(re.escape(word) for word in words)
    before = r"(?<!\w)" if re.match(r"\w", words[0]) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", words[-1]) else ""
    # Word boundaries are left to Python, which knows every alphabet; on a literal its `re` is linear.
    find = partial(_places, before + exact + after)
    return Shape(f"keyword:{number}", loose, ignore_case=True, unicode=True, loose=True, find=find)


def _escaped(word: str) -> str:
    return "".join(c if c.isalnum() or c == "_" or ord(c) > 127 else f"\\x{ord(c):02x}" for c in word)


def _places(expression: str, text: str) -> Iterator[Place]:
    for match in re.finditer(expression, text, re.IGNORECASE):
        yield match.span()
