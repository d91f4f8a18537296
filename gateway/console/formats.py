"""Numbers, times and long texts as the pages show them. Pure."""

from datetime import UTC, datetime
from typing import NamedTuple

_SHOWN_CHARACTERS = 1200
_LONGEST_CHARACTERS = 50_000


class Excerpt(NamedTuple):
    head: str
    rest: str
    """Shown on demand."""
    cut: int
    """Characters that not even the rest shows; the API has them."""


def excerpt(text: str) -> Excerpt:
    if len(text) <= _SHOWN_CHARACTERS * 1.25:
        return Excerpt(text, "", 0)
    return Excerpt(
        text[:_SHOWN_CHARACTERS], text[_SHOWN_CHARACTERS:_LONGEST_CHARACTERS], max(0, len(text) - _LONGEST_CHARACTERS)
    )


def ago(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return f"{int(seconds)} s ago" if seconds >= 1 else "just now"


def clock_time(unix_ns: int) -> str:
    return datetime.fromtimestamp(unix_ns / 1e9, UTC).strftime("%H:%M:%S")


def count(number: int | None) -> str:
    """12,345, and a dash where nothing was said."""
    return "–" if number is None else f"{number:,}"


def milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2f} ms"
