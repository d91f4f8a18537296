"""Where one text ends and the next begins: a word may be cut in two there. Looks for nothing itself."""

from collections.abc import Iterable

from gateway.policy.detectors.shape import Place

_WITHIN = 256
"""Characters on each side that what goes over a seam may have."""


def seam(before: str, after: str) -> str:
    """The end of the one and the beginning of the other, as they meet without a blank and with one; mostly "".

    A text that ends with a full stop, or the like, goes on with nothing.
    """
    if not (before and after and _goes_on(before[-1]) and _goes_on(after[0])):
        return ""
    end, beginning = before[-_WITHIN:], after[:_WITHIN]
    return f"{end}{beginning}\0{end} {beginning}"


def _goes_on(edge: str) -> bool:
    return edge.isalnum() or edge == " " or edge in "-_/+=@"


def over(before: str, after: str, places: Iterable[Place]) -> list[Place]:
    """Those places in `seam(before, after)` that have something of both."""
    end, beginning = min(len(before), _WITHIN), min(len(after), _WITHIN)
    blank = 2 * end + beginning + 1
    return [(a, b) for a, b in places if a < end < b or (a < blank and b > blank + 1)]
