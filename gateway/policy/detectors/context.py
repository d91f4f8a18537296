"""What stands before a number and tells what it is. A nine-digit number is nobody's by itself."""

import re

BEFORE = 64
"""Characters in which the word that tells must stand; further away it speaks of something else."""
_THINGS = re.compile(
    r"(?:part|order|sku|model|item|ref(?:erence)?|invoice|ticket|serial|case|lot|batch|version|build|product|catalog"
    r"|tracking|shipment|article|artikel|bestell|rechnung|commande|pedido|p/?n|s/?n|po|id|no|nr|num)\b"
    r"[^0-9\n]{0,12}\Z|[#/=_-]\Z",
    re.IGNORECASE,
)


def told_by(words: str) -> re.Pattern[str]:
    """These words, an alternation, as whole words in any case."""
    return re.compile(rf"(?<![A-Za-z])(?:{words})s?(?![A-Za-z])", re.IGNORECASE)


def told(words: re.Pattern[str], text: str, at: int, within: int = BEFORE) -> bool:
    """Whether one of the words stands shortly before."""
    return words.search(text, max(0, at - within), at) is not None


def of_a_thing(text: str, at: int) -> bool:
    """Whether what begins here is said to be the number of a part, an order, a version …"""
    return _THINGS.search(text, max(0, at - 32), at) is not None


def noticed_by(words: str, then: str = "[0-9]") -> str:
    """What Hyperscan notices of a number that is told by words: one of them, and a digit later on."""
    return rf"(?:^|[^A-Za-z])(?:{words})s?(?:[^A-Za-z0-9][^0-9]*)?{then}"
