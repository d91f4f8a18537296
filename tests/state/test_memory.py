from typing import Any

import pytest

from gateway.model.session import Claim, SessionRef
from gateway.state.memory import MemoryState

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
START = 1_790_000_000 * SECOND


def claim(session_id: str = "talk", **changes: Any) -> Claim:
    written: dict[str, Any] = {
        "workspace": "default",
        "principal": "alice-key",
        "session_id": session_id,
        "source": "client",
        "shared": False,
        "window_key": None,
        "header_allowed": True,
        "ends": False,
        "reopens": True,
    }
    return Claim(**(written | changes))


def explicit(session_id: str = "talk", **changes: Any) -> Claim:
    return claim(session_id, **({"source": "explicit", "shared": True, "reopens": False} | changes))


def joined(state: MemoryState, asked: Claim, now_ns: int = START) -> SessionRef:
    found = state.join(asked, now_ns)
    assert found is not None
    return found


def test_the_first_input_heads_a_session_and_the_next_ones_are_counted() -> None:
    state = MemoryState()
    first, second = joined(state, claim()), joined(state, claim())
    assert (first.id, first.sequence, first.header, first.client_supplied) == ("talk", 1, True, True)
    assert (second.id, second.sequence, second.header) == ("talk", 2, False)


def test_a_session_that_began_with_a_tool_gets_no_header_later() -> None:
    state = MemoryState()
    joined(state, claim(header_allowed=False))
    assert not joined(state, claim()).header


@pytest.mark.parametrize(
    ("first", "second", "visible"),
    [
        (claim(), claim(principal="bob-key"), "talk~bob-key"),
        (claim(), explicit(principal="bob-key"), "talk~shared"),
        (claim(), explicit(), "talk"),
        (explicit(), claim(), "talk"),
        (explicit(), claim(principal="bob-key"), "talk~bob-key"),
        (explicit(), explicit(principal="bob-key"), "talk"),
        (claim(), claim(workspace="research"), "talk"),
    ],
    ids=[
        "a borrowed id of somebody else",
        "an explicit id beside a borrowed one of somebody else",
        "an explicit id beside one's own borrowed one",
        "a borrowed id beside one's own explicit one",
        "a borrowed id beside somebody's explicit one",
        "an explicit id is the workspace's",
        "another workspace",
    ],
)
def test_who_comes_into_which_session(first: Claim, second: Claim, visible: str) -> None:
    state = MemoryState()
    joined(state, first)
    found = joined(state, second)
    same_session = visible == "talk" and first.workspace == second.workspace
    assert (found.id, found.sequence, found.client_supplied) == (visible, 2 if same_session else 1, visible == "talk")


def test_an_id_too_long_for_what_stands_behind_it_is_hashed() -> None:
    state = MemoryState()
    joined(state, claim("x" * 200))
    found = joined(state, claim("x" * 200, principal="bob-key"))
    assert found.id.startswith("h-")
    assert len(found.id) <= 200


@pytest.mark.parametrize(("idle_ns", "open_still"), [(24 * HOUR, True), (24 * HOUR + 1, False)])
def test_a_session_closes_after_a_day_without_input(idle_ns: int, open_still: bool) -> None:
    state = MemoryState()
    joined(state, explicit())
    assert (state.join(explicit(), START + idle_ns) is not None) is open_still


def test_the_day_is_counted_from_the_latest_input() -> None:
    state = MemoryState()
    for hours in (0, 20, 40):
        assert joined(state, explicit(), START + hours * HOUR).id == "talk"


def test_a_session_that_was_ended_is_closed_at_once() -> None:
    state = MemoryState()
    joined(state, explicit(ends=True))
    assert state.join(explicit(), START) is None


def test_a_session_can_be_ended_from_outside() -> None:
    state = MemoryState()
    joined(state, explicit())
    state.end("default", "talk")
    state.end("default", "unknown")
    assert state.join(explicit(), START) is None


def test_a_closed_borrowed_session_goes_on_as_a_new_one() -> None:
    state = MemoryState()
    joined(state, claim(ends=True))
    second, again = joined(state, claim()), joined(state, claim())
    assert (second.id, second.sequence, second.header, second.previous_id) == ("talk~2", 1, True, "talk")
    assert not second.client_supplied
    assert (again.id, again.sequence, again.previous_id) == ("talk~2", 2, "talk")
    joined(state, claim(ends=True))
    third = joined(state, claim())
    assert (third.id, third.previous_id) == ("talk~3", "talk~2")


@pytest.mark.parametrize(("gap_ns", "source"), [(45 * SECOND, "window"), (45 * SECOND + 1_000_000, "new")])
def test_the_same_users_next_prompt_belongs_to_the_session_for_45_seconds(gap_ns: int, source: str) -> None:
    state = MemoryState()
    first = joined(state, claim("s-1", source="window", window_key="alice"))
    found = joined(state, claim("s-2", source="window", window_key="alice"), START + gap_ns)
    assert (first.source, found.source) == ("new", source)
    assert found.id == ("s-1" if source == "window" else "s-2")
    assert not found.client_supplied


def test_the_window_is_counted_from_prompt_to_prompt() -> None:
    state = MemoryState()
    ids = {
        joined(state, claim(f"s-{turn}", source="window", window_key="alice"), START + turn * 40 * SECOND).id
        for turn in range(5)
    }
    assert ids == {"s-0"}


def test_timing_follows_into_no_closed_session() -> None:
    state = MemoryState()
    joined(state, claim("s-1", source="window", window_key="alice", ends=True))
    assert joined(state, claim("s-2", source="window", window_key="alice")).id == "s-2"


def test_timing_joins_nobody_elses_session() -> None:
    state = MemoryState()
    joined(state, claim("s-1", source="window", window_key="alice"))
    assert joined(state, claim("s-2", source="window", window_key="bob")).id == "s-2"


def test_a_prompt_without_an_id_follows_one_with_an_id() -> None:
    state = MemoryState()
    joined(state, claim(window_key="alice"))
    found = joined(state, claim("s-2", source="window", window_key="alice"), START + SECOND)
    assert (found.id, found.source, found.sequence, found.client_supplied) == ("talk", "window", 2, False)


def test_an_id_that_was_given_away_is_no_beginning() -> None:
    found = joined(MemoryState(), explicit("s-1", begun_before=True))
    assert (found.sequence, found.header) == (2, False)


def test_sessions_and_windows_are_bounded_and_the_least_used_go_first() -> None:
    state = MemoryState(limit=3)
    for name in ("a", "b", "c", "a", "d"):
        joined(state, claim(name, window_key=f"user-{name}"))
    assert len(state) == 3
    assert state.counters == {"sessions_forgotten": 1, "windows_forgotten": 1}
    assert joined(state, claim("a")).sequence == 3
    assert joined(state, claim("b")).sequence == 1


def digests(*texts: str) -> list[bytes]:
    return [text.encode().ljust(16) for text in texts]


@pytest.mark.parametrize(
    ("before", "after", "new_from"),
    [
        (digests("hi"), digests("hi", "hello", "how?"), 1),
        (digests("hi", "hello", "how?"), digests("hi", "hello", "how?", "so", "thanks"), 3),
        (digests("hi"), digests("hi"), 1),
        (digests("hi", "there"), digests("hi"), 0),
        (digests("hi"), digests("other", "hello"), 0),
        (digests(), digests("hi"), 0),
    ],
    ids=["grown", "grown again", "repeated", "shortened", "another thread", "nothing before"],
)
def test_what_the_previous_exchange_did_not_have_is_told(
    before: list[bytes], after: list[bytes], new_from: int
) -> None:
    state = MemoryState()
    joined(state, claim())
    assert state.extend("default", "talk", "e-1", before) == (None, 0)
    assert state.extend("default", "talk", "e-2", after) == ("e-1", new_from)


def test_an_unknown_session_has_no_previous_exchange() -> None:
    assert MemoryState().extend("default", "talk", "e-1", digests("hi")) == (None, 0)
