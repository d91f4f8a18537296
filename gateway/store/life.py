"""What has become of a session: whether it is open, and whether somebody should look at it. Pure rules."""

from typing import Literal

Lifecycle = Literal["open", "closed"]
ClosedBy = Literal["end", "idle"]
Attention = Literal["none", "settled", "flagged", "awaiting_review", "blocked"]
"""Mildest first; the strictest wins. What a person has decided is milder than what nobody has looked at."""


def closed_by(ended: bool, last_input_ns: int, now_ns: int, close_after_ns: int) -> ClosedBy | None:
    """None: it is open. The session processor's rule: an input said so, or idle for longer than `close_after_ns`.

    Idle counts from input to input; at equality the session is still open, and a clock that was set back closes none.
    """
    if ended:
        return "end"
    return "idle" if now_ns - last_input_ns > close_after_ns else None


def attention(flagged: int, escalated: int, blocked: int, decided: int = 0) -> Attention:
    """What a session with so many exchanges of each kind asks for: the strictest of what each of them does.

    `flagged` counts the redacted ones too, `decided` those among `escalated` about which a person has decided.
    """
    if blocked:
        return "blocked"
    if escalated > decided:
        return "awaiting_review"
    if flagged:
        return "flagged"
    return "settled" if escalated else "none"
