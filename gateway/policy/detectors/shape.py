"""What a detector is: something a linear scan can notice, and how to tell exactly where it is. Scans nothing itself."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

Place = tuple[int, int]
"""Start and end in characters of one text."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One thing to notice. `expression` must miss nothing that is meant; `confirm` sorts out the rest."""

    name: str
    """`secret:openai_key`, `entity:iban`, `pattern:0`, `keyword:1`: may be shown to anybody."""
    expression: str
    """What Hyperscan understands: no look-around, no back-references."""
    ignore_case: bool = False
    unicode: bool = False
    """A dot and a negated class are one character, not one byte; case folds beyond ASCII."""
    loose: bool = False
    """Words, which are meant however they are spelled: hyphenated in odd places, with figures for letters."""
    confirm: Callable[[str, int], Place | None] | None = None
    """(text, start of a match) → what is meant there, or None. Only asked where the expression matched."""
    find: Callable[[str], Iterable[Place | None]] | None = None
    """Where a regular expression cannot say it: all places, in order and apart; None for each candidate that was none,
    so that whoever asks can give up. Must be linear in the text, and quick from one candidate to the next."""


class Watch(NamedTuple):
    """A shape an agent looks for, and what the policy file calls it."""

    category: str
    shape: Shape
