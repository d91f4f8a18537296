"""Whether a session is open, and whether somebody should look at it."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.life import Attention, ClosedBy, attention, closed_by

_HOUR_NS = 3600 * 10**9
_DAY_NS = 24 * _HOUR_NS
_MILDEST_FIRST = get_args(Attention)


@pytest.mark.parametrize(
    ("ended", "idle_ns", "closed"),
    [
        (False, 0, None),
        (False, _DAY_NS, None),
        (False, _DAY_NS + 1, "idle"),
        (False, -_HOUR_NS, None),
        (False, -2 * _DAY_NS, None),
        (True, 0, "end"),
        (True, 2 * _DAY_NS, "end"),
        (True, -_HOUR_NS, "end"),
    ],
    ids=["just now", "24 h", "past 24 h", "clock set back", "far back", "ended", "ended long ago", "ended, clock back"],
)
def test_a_session_is_open_for_a_day_of_idleness_or_until_it_is_ended(
    ended: bool, idle_ns: int, closed: ClosedBy | None
) -> None:
    last_input_ns = 1_790_000_000 * 10**9
    assert closed_by(ended, last_input_ns, last_input_ns + idle_ns, _DAY_NS) == closed


@pytest.mark.parametrize(
    ("flagged", "escalated", "blocked", "decided", "asked"),
    [
        (0, 0, 0, 0, "none"),
        (1, 0, 0, 0, "flagged"),
        (0, 1, 0, 0, "awaiting_review"),
        (5, 2, 0, 1, "awaiting_review"),
        (0, 2, 0, 2, "settled"),
        (1, 2, 0, 2, "flagged"),
        (1, 1, 1, 0, "blocked"),
        (0, 1, 1, 1, "blocked"),
    ],
)
def test_the_strictest_wins_and_what_was_decided_is_settled(
    flagged: int, escalated: int, blocked: int, decided: int, asked: Attention
) -> None:
    assert attention(flagged, escalated, blocked, decided) == asked


@given(*[st.integers(0, 3)] * 3, st.integers(0, 3))
def test_more_exchanges_never_ask_for_less_and_decisions_never_for_more(
    flagged: int, escalated: int, blocked: int, decided: int
) -> None:
    def rank(*counts: int) -> int:
        return _MILDEST_FIRST.index(attention(*counts))

    decided = min(decided, escalated)
    now = rank(flagged, escalated, blocked, decided)
    assert rank(flagged + 1, escalated, blocked, decided) >= now
    assert rank(flagged, escalated + 1, blocked, decided) >= now
    assert rank(flagged, escalated, blocked + 1, decided) >= now
    if decided < escalated:
        assert rank(flagged, escalated, blocked, decided + 1) <= now
