"""What every engine must do: each test runs with each of them."""

from collections.abc import Awaitable
from typing import Any

import pytest

from gateway.contracts import SessionState
from gateway.model.session import Claim, Key, Lesson, Place, Thread

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
START = 1_790_000_000 * SECOND


def claim(session_id: str = "talk", **changes: Any) -> Claim:
    written: dict[str, Any] = {
        "workspace": "default",
        "principal": "alice-key",
        "session_id": session_id,
        "named": True,
        "shared": False,
        "window_key": None,
        "ends": False,
        "reopens": True,
    }
    return Claim(**(written | changes))


def explicit(session_id: str = "talk", **changes: Any) -> Claim:
    return claim(session_id, **({"shared": True, "reopens": False} | changes))


def unnamed(session_id: str = "s-1", **changes: Any) -> Claim:
    return claim(session_id, **({"named": False, "reopens": False} | changes))


async def asked(state: SessionState, claimed: Claim, now_ns: int = START) -> Place | None:
    place = state.resolve(claimed, now_ns)
    return await place if isinstance(place, Awaitable) else place


async def place(state: SessionState, claimed: Claim, after_ns: int = 0) -> Place:
    """Asked at `START + after_ns`; it must not be refused."""
    found = await asked(state, claimed, START + after_ns)
    assert found is not None
    return found


def lesson(session_id: str = "talk", exchange_id: str = "e-1", **changes: Any) -> Lesson:
    written: dict[str, Any] = {
        "workspace": "default",
        "principal": "alice-key",
        "session_id": session_id,
        "exchange_id": exchange_id,
        "started_ns": START,
        "ended_ns": START,
        "begins": False,
    }
    return Lesson(**(written | changes))


def digest(text: str) -> bytes:
    return text.encode().rjust(16, b"-")[::-1]


def key(text: str, within_s: float = 0) -> Key:
    return Key(digest(text), round(within_s * SECOND))


async def test_inputs_of_a_session_are_counted(state: SessionState) -> None:
    first, second = await place(state, claim()), await place(state, claim())
    assert first == Place("talk", "named", 1)
    assert second == Place("talk", "named", 2)


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
async def test_who_comes_into_which_session(state: SessionState, first: Claim, second: Claim, visible: str) -> None:
    await place(state, first)
    found = await place(state, second)
    same_session = visible == "talk" and first.workspace == second.workspace
    assert (found.session_id, found.sequence) == (visible, 2 if same_session else 1)


async def test_an_id_too_long_for_what_stands_behind_it_is_hashed(state: SessionState) -> None:
    await place(state, claim("x" * 200))
    found = await place(state, claim("x" * 200, principal="bob-key"))
    assert found.session_id.startswith("h-")
    assert len(found.session_id) <= 200


@pytest.mark.parametrize(("idle_ns", "open_still"), [(24 * HOUR, True), (24 * HOUR + 1, False)])
async def test_a_session_closes_after_a_day_without_input(state: SessionState, idle_ns: int, open_still: bool) -> None:
    await place(state, explicit())
    assert (await asked(state, explicit(), START + idle_ns) is not None) is open_still


async def test_the_day_is_counted_from_the_latest_input(state: SessionState) -> None:
    for hours in (0, 20, 40):
        assert (await place(state, explicit(), hours * HOUR)).session_id == "talk"


async def test_a_clock_that_is_set_back_closes_nothing(state: SessionState) -> None:
    await place(state, explicit(), 20 * HOUR)
    assert (await place(state, explicit())).sequence == 2
    assert (await place(state, explicit(), 44 * HOUR)).sequence == 3


async def test_a_session_that_was_ended_is_closed_at_once(state: SessionState) -> None:
    await place(state, explicit(ends=True))
    assert await asked(state, explicit()) is None


async def test_a_session_can_be_ended_from_outside(state: SessionState) -> None:
    await place(state, explicit())
    state.end("default", "talk")
    state.end("default", "unknown")
    assert await asked(state, explicit()) is None


async def test_a_closed_borrowed_session_goes_on_as_a_new_one(state: SessionState) -> None:
    await place(state, claim(ends=True))
    assert await place(state, claim()) == Place("talk~2", "named", 1, "talk")
    assert await place(state, claim(ends=True)) == Place("talk~2", "named", 2, "talk")
    assert await place(state, claim()) == Place("talk~3", "named", 1, "talk~2")


async def test_an_id_that_was_given_away_is_no_beginning(state: SessionState) -> None:
    assert (await place(state, explicit("s-1", begun_before=True))).sequence == 2


# By timing


@pytest.mark.parametrize(("gap_ns", "how"), [(45 * SECOND, "window"), (45 * SECOND + 1_000_000, "new")])
async def test_the_same_users_next_prompt_belongs_to_the_session(state: SessionState, gap_ns: int, how: str) -> None:
    first = await place(state, unnamed("s-1", window_key="alice"))
    found = await place(state, unnamed("s-2", window_key="alice"), gap_ns)
    assert (first.how, found.how) == ("new", how)
    assert found.session_id == ("s-1" if how == "window" else "s-2")


async def test_the_window_is_counted_from_prompt_to_prompt(state: SessionState) -> None:
    found = [await place(state, unnamed(f"s-{turn}", window_key="alice"), turn * 40 * SECOND) for turn in range(5)]
    assert {each.session_id for each in found} == {"s-0"}


@pytest.mark.parametrize(("back_s", "how"), [(45, "window"), (46, "new")])
async def test_the_window_is_as_long_for_what_comes_late(state: SessionState, back_s: int, how: str) -> None:
    await place(state, unnamed("s-1", window_key="alice"))
    assert (await place(state, unnamed("s-2", window_key="alice"), -back_s * SECOND)).how == how


async def test_timing_follows_into_no_closed_session(state: SessionState) -> None:
    await place(state, unnamed("s-1", window_key="alice", ends=True))
    assert (await place(state, unnamed("s-2", window_key="alice"))).session_id == "s-2"


async def test_timing_joins_nobody_elses_session(state: SessionState) -> None:
    await place(state, unnamed("s-1", window_key="alice"))
    assert (await place(state, unnamed("s-2", window_key="bob"))).session_id == "s-2"
    assert (await place(state, unnamed("s-3"))).session_id == "s-3"


async def test_a_prompt_without_an_id_follows_one_with_an_id(state: SessionState) -> None:
    await place(state, claim(window_key="alice"))
    assert await place(state, unnamed(window_key="alice"), SECOND) == Place("talk", "window", 2)


@pytest.mark.parametrize(
    ("before", "after", "how"),
    [(False, False, "window"), (False, True, "window"), (True, True, "window"), (True, False, "new")],
)
async def test_who_repeats_earlier_turns_would_have_repeated_them(
    state: SessionState, before: bool, after: bool, how: str
) -> None:
    await place(state, unnamed("s-1", window_key="alice", history=before))
    assert (await place(state, unnamed("s-2", window_key="alice", history=after), SECOND)).how == how


@pytest.mark.parametrize(("later_ns", "how"), [(24 * HOUR, "new"), (24 * HOUR + 1, "window")])
async def test_whoever_repeats_turns_does_so_for_a_day_in_whichever_session(
    state: SessionState, later_ns: int, how: str
) -> None:
    await place(state, unnamed("s-1", window_key="alice", history=True))
    await place(state, claim("other", window_key="alice"), later_ns - SECOND)
    assert (await place(state, unnamed("s-2", window_key="alice"), later_ns)).how == how


# By keys


async def test_a_key_leads_to_the_exchange_that_learnt_it(state: SessionState) -> None:
    await place(state, claim())
    state.learn(lesson(lasting=(digest("answer"), digest("response")), passing=(digest("call"),)))
    for name in ("answer", "response", "call"):
        found = await place(state, unnamed(keys=(key("other"), key(name)), window_key="alice"))
        assert (found.session_id, found.how, found.parent, found.key) == ("talk", "key", "e-1", 1)


async def test_the_surest_key_decides(state: SessionState) -> None:
    for name in ("one", "two"):
        await place(state, claim(name))
        state.learn(lesson(name, f"e-{name}", lasting=(digest(name),)))
    found = await place(state, unnamed(keys=(key("two"), key("one"))))
    assert (found.session_id, found.parent, found.key) == ("two", "e-two", 0)


async def test_what_no_key_knows_begins(state: SessionState) -> None:
    assert await place(state, unnamed(keys=(key("other"),))) == Place("s-1", "new", 1)


async def test_a_key_beats_timing_and_a_name_beats_a_key(state: SessionState) -> None:
    await place(state, claim("one"))
    state.learn(lesson("one", lasting=(digest("one"),)))
    await place(state, claim("two", window_key="alice"))
    asking: dict[str, Any] = {"keys": (key("one"),), "window_key": "alice"}
    assert (await place(state, unnamed(**asking))).session_id == "one"
    assert (await place(state, claim("three", **asking))).session_id == "three"


async def test_a_fresh_session_is_begun_by_what_is_learnt_of_it(state: SessionState) -> None:
    assert state.learn(lesson("s-1", begins=True, lasting=(digest("answer"),))) == Thread(None)
    assert await place(state, unnamed("s-2", keys=(key("answer"),))) == Place("s-1", "key", 2, None, "e-1", 0)


async def test_of_an_unknown_session_nothing_is_learnt(state: SessionState) -> None:
    assert state.learn(lesson("s-1", lasting=(digest("answer"),))) == Thread(None)
    assert (await place(state, unnamed("s-2", keys=(key("answer"),)))).session_id == "s-2"


async def test_the_latest_that_learnt_a_key_is_found_by_it(state: SessionState) -> None:
    for number in (1, 2):
        state.learn(lesson(f"s-{number}", f"e-{number}", begins=True, lasting=(digest("answer"),)))
    assert (await place(state, unnamed("s-3", keys=(key("answer"),)))).parent == "e-2"


async def test_what_is_found_in_a_closed_session_goes_on_in_a_new_one(state: SessionState) -> None:
    state.learn(lesson("s-1", begins=True, lasting=(digest("answer"),)))
    found = await place(state, unnamed("s-2", keys=(key("answer"),)), 24 * HOUR + 1)
    assert found == Place("s-2", "key", 1, "s-1", "e-1", 0)


async def test_a_session_that_ends_while_an_exchange_runs_learns_and_stays_closed(state: SessionState) -> None:
    await place(state, claim())
    state.end("default", "talk")
    state.learn(lesson(begins=True, lasting=(digest("answer"),)))
    assert (await place(state, unnamed("s-2", keys=(key("answer"),)))).previous_id == "talk"
    assert await asked(state, claim(reopens=False)) is None


@pytest.mark.parametrize(("after_ns", "joins"), [(10 * SECOND, True), (10 * SECOND + 1_000_000, False)])
async def test_a_key_for_a_while_counts_for_that_long(state: SessionState, after_ns: int, joins: bool) -> None:
    state.learn(lesson("s-1", begins=True, passing=(digest("failed"),)))
    found = await place(state, unnamed("s-2", keys=(key("failed", within_s=10),)), after_ns)
    assert (found.session_id == "s-1") is joins


async def test_a_key_for_a_while_counts_once(state: SessionState) -> None:
    state.learn(lesson("s-1", begins=True, passing=(digest("failed"),)))
    found = [await place(state, unnamed(name, keys=(key("failed", within_s=10),))) for name in ("s-2", "s-3")]
    assert [each.session_id for each in found] == ["s-1", "s-3"]


async def test_passing_keys_make_room_for_newer_ones_and_lasting_ones_stay(state: SessionState) -> None:
    for turn in range(40):
        more = {"lasting": (digest(f"turn {turn}"),), "passing": (digest(f"call {turn}"), digest("agent"))}
        state.learn(lesson("s-1", f"e-{turn}", begins=True, **more))
    assert (await place(state, unnamed("s-2", keys=(key("call 0"),)))).how == "new"
    assert (await place(state, unnamed("s-3", keys=(key("call 39"),)))).parent == "e-39"
    assert (await place(state, unnamed("s-4", keys=(key("agent"),)))).parent == "e-39"
    assert (await place(state, unnamed("s-5", keys=(key("turn 0"),)))).parent == "e-0"


async def test_a_key_that_an_exchange_brings_twice_takes_the_room_of_one(state: SessionState) -> None:
    state.learn(lesson("s-1", "e-1", begins=True, passing=(digest("same"), digest("other"), digest("same"))))
    state.learn(lesson("s-1", "e-2", passing=tuple(digest(f"{number}") for number in range(10))))
    assert (await place(state, unnamed("s-2", keys=(key("same"),)))).parent == "e-1"


# Threads


async def test_an_exchange_continues_the_one_that_its_history_tells_of(state: SessionState) -> None:
    await place(state, claim())
    for name in ("one", "two"):
        state.learn(lesson(exchange_id=f"e-{name}", lasting=(digest(name),)))
    assert state.learn(lesson(exchange_id="e-3", asked=(digest("other"), digest("one")))) == Thread("e-one", 1)


async def test_else_it_continues_the_latest_one(state: SessionState) -> None:
    await place(state, claim())
    assert state.learn(lesson(exchange_id="e-1")) == Thread(None)
    assert state.learn(lesson(exchange_id="e-2", asked=(digest("other"),))) == Thread("e-1")
    found = await place(state, unnamed(window_key="alice"))
    assert found.parent is None


async def test_a_thread_stays_in_its_session(state: SessionState) -> None:
    state.learn(lesson("s-1", "e-1", begins=True, lasting=(digest("answer"),)))
    assert state.learn(lesson("s-2", "e-2", begins=True, asked=(digest("answer"),))) == Thread(None)


async def test_ids_of_exchanges_come_back_as_they_were(state: SessionState) -> None:
    for number, name in enumerate(("0199aabbccdd001122334455", "0199AABBCCDD001122334455", "e", "z" * 24)):
        state.learn(lesson("s-1", name, begins=True, lasting=(digest(str(number)),)))
        assert (await place(state, unnamed(keys=(key(str(number)),)))).parent == name


# Retries


async def test_whose_attempts_failed_lately_is_known(state: SessionState) -> None:
    failures = state.failures
    assert failures is state.failures
    assert not failures.lately(START, 10 * SECOND)
    failures.note(digest("alice"), START)
    for now_ns, lately in [(START, True), (START + 10 * SECOND, True), (START + 10 * SECOND + 1, False)]:
        assert failures.lately(now_ns, 10 * SECOND) is lately
        assert failures.lately(now_ns, 10 * SECOND, digest("alice")) is lately
        assert not failures.lately(now_ns, 10 * SECOND, digest("bob"))
    assert failures.lately(START - 10 * SECOND, 10 * SECOND), "a clock that was set back"
    assert not failures.lately(START - 10 * SECOND - 1, 10 * SECOND)


async def test_an_engine_that_works_has_no_trouble(state: SessionState) -> None:
    await place(state, claim())
    assert state.trouble is None
