"""The rules stand twice, once for memory alone: whatever happens to sessions, every engine gives memory's answers."""

import asyncio
import tempfile
from collections.abc import Awaitable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contracts import SessionState
from gateway.model.session import Claim, Key, Lesson, Place, Thread
from gateway.state.memory import MemoryState
from tests.state.conftest import ENGINES, SECRET
from tests.state.test_contract import HOUR, SECOND, START, digest

Answer = Place | Thread | None
Step = Claim | Lesson | tuple[str, str]
"""A call: `resolve`, `learn` or `end`."""

_workspaces, _principals = st.sampled_from(["default", "research"]), st.sampled_from(["alice-key", "bob-key"])
_ids = st.sampled_from(["talk", "talk~bob-key", "talk~shared", "talk~2", "other", "x" * 200])
_users = st.sampled_from([None, "ann", "bob"])
_lasting = st.sampled_from([digest(f"answer {number}") for number in range(8)])
_passing = st.sampled_from([digest(f"call {number}") for number in range(16)])
# What counts once is learnt as passing, and nowhere else: no digest in the gateway is of both kinds.
_keys = st.one_of(st.builds(Key, _lasting | _passing, st.just(0)), st.builds(Key, _passing, st.just(10 * SECOND)))
_later_ns = st.sampled_from(
    [
        *(0, 0, 1, SECOND, 10 * SECOND, 10 * SECOND + 1, 45 * SECOND, 45 * SECOND + 1, 24 * HOUR, 24 * HOUR + 1),
        *(-SECOND, -45 * SECOND, -HOUR),
    ]
)


def _some(digests: st.SearchStrategy[bytes], most: int) -> st.SearchStrategy[tuple[bytes, ...]]:
    return st.lists(digests, max_size=most, unique=True).map(tuple)


@st.composite
def _named(draw: st.DrawFn) -> Step:
    shared = draw(st.booleans())
    return Claim(
        draw(_workspaces),
        draw(_principals),
        draw(_ids),
        True,
        shared,
        draw(_users),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@st.composite
def _unnamed(draw: st.DrawFn) -> Step:
    return Claim(
        draw(_workspaces),
        draw(_principals),
        f"s-{draw(st.integers(0, 5))}",
        False,
        False,
        draw(_users),
        draw(st.booleans()),
        False,
        keys=tuple(draw(st.lists(_keys, max_size=3))),
        history=draw(st.booleans()),
    )


@st.composite
def _taught(draw: st.DrawFn) -> Step:
    place = draw(_workspaces), draw(_principals), draw(_ids | st.integers(0, 5).map(lambda number: f"s-{number}"))
    number, begins = draw(st.integers(0, 99)), draw(st.booleans())
    asked, lasting, passing = draw(_some(_lasting | _passing, 3)), draw(_some(_lasting, 2)), draw(_some(_passing, 5))
    return Lesson(*place, f"e-{number}", 0, 0, begins, asked, lasting, passing)


_history = st.lists(
    st.tuples(_later_ns, st.one_of(_named(), _unnamed(), _taught(), st.tuples(_workspaces, _ids))), max_size=40
)


async def _answers(state: SessionState, history: Sequence[tuple[int, Step]]) -> list[Answer]:
    found: list[Answer] = []
    now_ns = START
    for later_ns, step in history:
        now_ns += later_ns
        if isinstance(step, Claim):
            answer = state.resolve(step, now_ns)
            found.append(await answer if isinstance(answer, Awaitable) else answer)
        elif isinstance(step, Lesson):
            found.append(state.learn(step._replace(started_ns=now_ns, ended_ns=now_ns)))
        else:
            state.end(*step)
    return found


@pytest.mark.parametrize("engine", sorted(ENGINES.keys() - {"memory"}))
@given(history=_history)
@settings(max_examples=60, deadline=None)
def test_each_engine_answers_as_memory_does(engine: str, history: Sequence[tuple[int, Step]]) -> None:
    memory = MemoryState(45.0, 86400.0, secret=SECRET)
    with tempfile.TemporaryDirectory() as folder:
        state = ENGINES[engine](Path(folder))
        try:
            assert asyncio.run(_answers(state, history)) == asyncio.run(_answers(memory, history))
        finally:
            state.close()
