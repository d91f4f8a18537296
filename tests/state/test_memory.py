"""What is this engine's alone; what every engine does is in `test_contract.py`."""

from gateway.model.session import Claim, Key, Lesson
from gateway.state.memory import LASTING_LIMIT, PASSING_LIMIT, MemoryState


def entered(state: MemoryState, name: str) -> int:
    place = state.resolve(Claim("default", "key", name, True, False, f"user-{name}", False, True), 0)
    assert place is not None
    return place.sequence


def test_sessions_and_windows_are_bounded_and_the_least_used_go_first() -> None:
    state = MemoryState(limit=3)
    for name in ("a", "b", "c", "a", "d"):
        entered(state, name)
    assert len(state) == 3
    assert state.counters == {"sessions_forgotten": 1, "windows_forgotten": 1}
    assert entered(state, "a") == 3
    assert entered(state, "b") == 1


def test_a_forgotten_sessions_keys_are_forgotten_with_it() -> None:
    state = MemoryState(limit=10)
    for number in range(100):
        learn(state, f"s-{number}", number)
    assert state.keys == 20


def test_keys_of_one_session_are_bounded_and_counted() -> None:
    state = MemoryState()
    for number in range(LASTING_LIMIT + 5):
        learn(state, "s-1", number)
    assert state.counters["keys_forgotten"] == 5 + LASTING_LIMIT + 5 - PASSING_LIMIT
    assert state.keys == LASTING_LIMIT + PASSING_LIMIT


def test_a_key_that_moved_on_is_not_forgotten_with_its_first_session() -> None:
    state = MemoryState(limit=2)
    learn(state, "s-1", 1)
    learn(state, "s-2", 1)
    learn(state, "s-3", 3)
    claim = Claim("default", "key", "s-4", False, False, None, False, False, keys=(Key(number(1)),))
    place = state.resolve(claim, 0)
    assert place is not None
    assert place.session_id == "s-2"


def learn(state: MemoryState, session_id: str, turn: int) -> None:
    keys = (number(turn),), (number(turn + 1_000_000),)
    state.learn(Lesson("default", "key", session_id, f"e-{turn}", 0, 0, True, (), *keys))


def number(of: int) -> bytes:
    return of.to_bytes(8, "big").ljust(16)[4:] + bytes(4)
