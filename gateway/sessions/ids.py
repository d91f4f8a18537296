"""What may be an id, and ids of our own. Pure but for the randomness of a fresh one."""

from hashlib import blake2b

from gateway.model.randomness import random_bytes
from gateway.model.session import MAX_SESSION_ID

_FRESH_PREFIX = "s-"
_FRESH_LENGTH = 2 + 11 + 18
_HEX = frozenset("0123456789abcdef")


def bounded(raw: bytes) -> str | None:
    """The id that these bytes are: printable ASCII, at most 200 characters; a longer one is represented by its hash.

    None where they cannot be one: empty, or with bytes that a header, a URL or a terminal would not survive.
    """
    if not raw.isascii():
        return None
    text = raw.decode("ascii").strip()
    if not text or not text.isprintable():
        return None
    return text if len(text) <= MAX_SESSION_ID else f"h-{blake2b(text.encode(), digest_size=16).hexdigest()}"


def fresh(now_ns: int) -> str:
    """A new session's id: the time in ms first, so that ids sort by it, then 72 bits nobody can guess."""
    return f"{_FRESH_PREFIX}{now_ns // 1_000_000:011x}{random_bytes(9).hex()}"


def is_fresh(session_id: str) -> bool:
    """Whether a gateway made this id, as far as its shape tells."""
    return (
        len(session_id) == _FRESH_LENGTH
        and session_id.startswith(_FRESH_PREFIX)
        and _HEX.issuperset(session_id[len(_FRESH_PREFIX) :])
    )
