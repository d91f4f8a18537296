"""Where a page ends, as an opaque word for the next request. No I/O; refuses what it did not make."""

import base64
import binascii
from dataclasses import dataclass


class BadCursorError(ValueError):
    """The cursor is not one that a list answered."""

    def __init__(self) -> None:
        super().__init__("the cursor is not valid here; use the `next` of the previous page, or leave it out")


@dataclass(slots=True, frozen=True)
class SessionCursor:
    last_ns: int
    n: int

    def word(self) -> str:
        return _word(self.last_ns, self.n)

    @classmethod
    def of(cls, word: str) -> "SessionCursor":
        """Raises BadCursorError."""
        return cls(*_numbers(word, 2))


@dataclass(slots=True, frozen=True)
class TurnCursor:
    """An exchange's place in its session."""

    sequence: int
    started_ns: int
    n: int

    def word(self) -> str:
        return _word(self.sequence, self.started_ns, self.n)

    @classmethod
    def of(cls, word: str) -> "TurnCursor":
        """Raises BadCursorError."""
        return cls(*_numbers(word, 3))


def _word(*numbers: int) -> str:
    return base64.urlsafe_b64encode(".".join(map(str, numbers)).encode()).decode().rstrip("=")


def _numbers(word: str, count: int) -> list[int]:
    if len(word) > 100:
        raise BadCursorError
    try:
        text = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise BadCursorError from None
    parts = text.split(".")
    if len(parts) != count or not all(part.isdecimal() and len(part) < 19 + 1 and int(part) < 2**63 for part in parts):
        raise BadCursorError
    return [int(part) for part in parts]
