import json
from collections import Counter

import pytest

from bench.attribution import Replay, Score, held, score
from bench.conversations import OPENINGS, traffic
from gateway.processors.session import SessionConfig


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        ("aabb", "xxyy", Score(1, 1)),
        ("aabb", "xxxx", Score(2 / 6, 1)),
        ("aaaa", "xxyy", Score(1, 2 / 6)),
        ("abc", "xyz", Score(1, 1)),
    ],
    ids=["right", "merged", "split", "no pairs"],
)
def test_pairs_are_scored(truth: str, found: str, expected: Score) -> None:
    assert score(truth, found) == expected


def test_the_same_seed_makes_the_same_traffic() -> None:
    assert traffic(1, 5) == traffic(1, 5)
    assert traffic(1, 5) != traffic(2, 5)


def test_the_traffic_is_what_it_says() -> None:
    calls = traffic(1)
    per_conversation = Counter(call.conversation for call in calls if call.status == 200)
    assert set(per_conversation) == set(range(200))
    assert 3 <= min(per_conversation.values()) <= max(per_conversation.values()) <= 30
    openings = [call.body["messages"][1]["content"] for call in calls if len(call.body["messages"]) == 2]
    assert {text for text in openings if not text.startswith("This session")} == set(OPENINGS)
    assert 0.07 < sum(call.status != 200 for call in calls) / len(calls) < 0.13
    answers = [json.dumps(call.answer) for call in calls if call.status == 200]
    assert len(set(answers)) == len(answers)
    assert [call.begins_s for call in calls] == sorted(call.begins_s for call in calls)


@pytest.mark.parametrize(("users", "reached"), [(0, 0.99), (5, 0.995)])
def test_conversations_that_nobody_names_are_told_apart(users: int, reached: float) -> None:
    calls = traffic(1, users=users)
    replay = Replay(SessionConfig())
    assert score([call.conversation for call in calls], replay.sessions_of(calls)).f1 >= reached


def test_timing_alone_does_not_tell_them_apart() -> None:
    calls = traffic(4, 60)
    replay = Replay(SessionConfig(lineage=False, anonymous="principal"))
    assert score([call.conversation for call in calls], replay.sessions_of(calls)).f1 < 0.5


def test_a_session_of_thirty_turns_is_small() -> None:
    replay = Replay(SessionConfig())
    replay.sessions_of(traffic(7, 100, (30, 30)))
    assert held(replay.state) / len(replay.state) <= 8192
