"""An engine that fails costs no exchange its session: this process's memory takes over, says so, and gives back."""

from collections import Counter

import pytest

from gateway.model.session import Claim, Lesson, Place, Thread
from gateway.state.fallback import FallbackState
from gateway.state.memory import MemoryState
from tests.state.test_contract import START, claim, digest, explicit, lesson


class EngineDownError(Exception):
    pass


class ShakyEngine(MemoryState):
    """Memory that can be down."""

    def __init__(self, shaker: "Shaker") -> None:
        super().__init__()
        self.shaker = shaker

    def resolve(self, claim: Claim, now_ns: int) -> Place | None:
        self.shaker.shake()
        return super().resolve(claim, now_ns)

    def knows(self, claim: Claim) -> bool:
        self.shaker.shake()
        return False

    def learn(self, lesson: Lesson) -> Thread:
        self.shaker.shake()
        return super().learn(lesson)

    def end(self, workspace: str, session_id: str) -> None:
        self.shaker.shake()
        super().end(workspace, session_id)

    def close(self) -> None:
        self.shaker.closed += 1


class Shaker:
    def __init__(self) -> None:
        self.down = False
        self.now_s = 0.0
        self.opened = self.closed = 0
        self.state = FallbackState(self._open, EngineDownError, MemoryState(), lambda: self.now_s)

    def shake(self) -> None:
        if self.down:
            raise EngineDownError("disk full")

    def _open(self, wait_s: float) -> ShakyEngine:
        self.shake()
        self.opened += 1
        return ShakyEngine(self)


def place(state: FallbackState, claimed: Claim) -> Place:
    found = state.resolve(claimed, START)
    assert found is not None
    return found


@pytest.fixture
def shaker() -> Shaker:
    return Shaker()


def test_an_engine_that_works_is_the_only_one_asked(shaker: Shaker) -> None:
    assert not place(shaker.state, explicit()).local
    assert shaker.state.counters == Counter()


def test_while_it_is_down_sessions_are_local_and_marked_as_such(shaker: Shaker) -> None:
    place(shaker.state, explicit())
    shaker.down = True
    first, second = place(shaker.state, explicit()), place(shaker.state, explicit())
    assert first == Place("talk", "named", 1, local=True)
    assert second == Place("talk", "named", 2, local=True)
    assert shaker.state.learn(lesson(exchange_id="e-1", lasting=(digest("one"),))) == Thread(None)
    assert shaker.state.learn(lesson(exchange_id="e-2", asked=(digest("one"),))) == Thread("e-1", 0)
    shaker.state.end("default", "talk")
    assert shaker.state.resolve(explicit(), START) is None
    assert shaker.state.counters == {"failed": 1, "local": 3}


def test_one_that_is_down_is_asked_again_ever_less_often_until_it_is_back(shaker: Shaker) -> None:
    shaker.down = True
    tries = []
    for second in range(60):
        shaker.now_s = float(second)
        failed = shaker.state.counters["failed"]
        place(shaker.state, claim(f"talk-{second}"))
        if shaker.state.counters["failed"] > failed:
            tries.append(second)
    assert tries == [0, 1, 2, 4, 9, 24, 39, 54]
    assert shaker.closed == 1
    shaker.down = False
    shaker.now_s = 69.0
    assert not place(shaker.state, explicit()).local
    assert shaker.opened == 2
    shaker.down = True
    assert place(shaker.state, explicit()).local
    shaker.down = False
    shaker.now_s = 83.0
    assert place(shaker.state, explicit()).local, "it was not well for long"
    shaker.now_s = 84.0
    assert not place(shaker.state, explicit()).local
    shaker.now_s = 99.0
    assert not place(shaker.state, explicit()).local
    shaker.down = True
    assert place(shaker.state, explicit()).local
    shaker.down = False
    shaker.now_s = 99.5
    assert not place(shaker.state, explicit()).local, "it was, so that it is asked again soon"


def test_one_that_is_down_from_the_start_stops_nothing() -> None:
    shaker = Shaker()
    shaker.down = True
    shaker.state = FallbackState(shaker._open, EngineDownError, MemoryState(), lambda: shaker.now_s)
    assert place(shaker.state, explicit()).local
    shaker.state.sweep(START)
    shaker.state.close()


def test_what_an_engine_counted_is_not_forgotten_with_it(shaker: Shaker) -> None:
    assert shaker.state._engine is not None
    shaker.state._engine.counters["sessions_forgotten"] += 3
    shaker.down = True
    place(shaker.state, explicit())
    assert shaker.state.counters["sessions_forgotten"] == 3


def test_while_it_is_down_nobody_waits_for_what_others_learn(shaker: Shaker) -> None:
    assert not shaker.state.knows(claim())
    shaker.down = True
    assert shaker.state.knows(claim())


def test_it_says_what_is_wrong_until_it_works_again(shaker: Shaker) -> None:
    shaker.down = True
    place(shaker.state, explicit())
    assert shaker.state.trouble == "disk full"
    shaker.down = False
    shaker.now_s = 10.0
    shaker.state.sweep(START)
    assert shaker.state.trouble is None


def test_one_that_is_only_busy_is_kept_open(shaker: Shaker) -> None:
    shaker.state = FallbackState(
        shaker._open, EngineDownError, MemoryState(), lambda: shaker.now_s, busy=EngineDownError
    )
    place(shaker.state, explicit())
    shaker.down = True
    assert place(shaker.state, explicit()).local
    shaker.now_s = 0.4
    shaker.down = False
    assert place(shaker.state, explicit()).local, "it is not asked at each call"
    shaker.now_s = 10.0
    assert place(shaker.state, explicit()) == Place("talk", "named", 2), "the same engine"
    assert shaker.closed == 0


def test_other_errors_are_not_taken_for_an_outage(shaker: Shaker) -> None:
    with pytest.raises(AttributeError):
        shaker.state.resolve(None, START)  # type: ignore[arg-type]
