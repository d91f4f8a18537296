"""Who goes on before another worker has learnt from the answer is found all the same; nobody else waits."""

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from gateway.model.session import Claim, Place
from gateway.state.lmdb import LmdbState
from gateway.state.patience import PatientState
from tests.state.test_contract import START, claim, digest, key, lesson, unnamed


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LmdbState]:
    engine = LmdbState(tmp_path, b"secret")
    yield engine
    engine.close()


def repeating(session_id: str = "s-2", within_s: float = 0) -> Claim:
    return unnamed(session_id, keys=(key("other"), key("answer", within_s)), history=True)


async def test_what_is_learnt_while_it_waits_is_found(engine: LmdbState) -> None:
    state = PatientState(engine, [0.0] * 1000)
    asked = state.resolve(repeating(), START)
    assert isinstance(asked, Awaitable)
    waiting = asyncio.ensure_future(asked)
    await asyncio.sleep(0)
    assert not waiting.done()
    engine.learn(lesson("s-1", begins=True, lasting=(digest("answer"),)))
    assert await waiting == Place("s-1", "key", 2, None, "e-1", 1)
    assert state.counters == {"waited": 1}


async def test_what_nobody_learns_begins_a_session(engine: LmdbState) -> None:
    state = PatientState(engine, [0.0] * 3)
    asked = state.resolve(repeating(), START)
    assert isinstance(asked, Awaitable)
    assert await asked == Place("s-2", "new", 1)
    assert state.counters == {"waited": 1, "waited_in_vain": 1}


@pytest.mark.parametrize(
    "claimed",
    [
        claim(),
        unnamed(),
        unnamed(keys=(key("other"),)),
        unnamed(history=True),
        unnamed(keys=(key("known"),), history=True),
    ],
    ids=["named", "nothing known of it", "repeats no turns", "without keys", "known at once"],
)
def test_others_do_not_wait(engine: LmdbState, claimed: Claim) -> None:
    state = PatientState(engine, [0.0])
    engine.learn(lesson("s-1", begins=True, lasting=(digest("known"),)))
    assert isinstance(state.resolve(claimed, START), Place)


def test_looking_for_a_key_that_counts_once_does_not_count(engine: LmdbState) -> None:
    engine.learn(lesson("s-1", begins=True, passing=(digest("answer"),)))
    assert not engine.knows(repeating(within_s=10))
    assert engine.resolve(repeating(within_s=10), START) == Place("s-1", "key", 2, None, "e-1", 1)
