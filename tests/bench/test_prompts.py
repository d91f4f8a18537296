"""The requests of the benchmark: sizes, and that an agent's request is its history plus one turn."""

import json
from itertools import pairwise
from random import Random

from bench.prompts import CONVERSATION_TAIL, STAMP, Conversation, answer, conversations, medium_body, small_body


def request(conversation: Conversation, turn: int) -> dict[str, list[dict[str, object]]]:
    parsed: dict[str, list[dict[str, object]]] = json.loads(
        conversation.body[: conversation.turns[turn].end] + CONVERSATION_TAIL
    )
    return parsed


def test_small_is_small_and_has_one_stamp() -> None:
    assert 250 <= len(small_body()) <= 350
    assert small_body().count(STAMP) == 1
    assert 350 <= len(answer()) <= 450


def test_medium_has_the_size_asked_for() -> None:
    assert 1800 <= len(medium_body(2000, Random(1))) <= 2400


def test_an_agents_requests_are_190_kb_on_average() -> None:
    sizes = [turn.end for conversation in conversations(8, 1) for turn in conversation.turns]
    assert 175_000 <= sum(sizes) / len(sizes) <= 205_000


def test_instructions_and_tools_are_about_40_kb() -> None:
    [conversation] = conversations(1, 1, turns=1)
    assert 36_000 <= conversation.turns[0].end <= 44_000


def test_each_request_repeats_the_history_and_adds_a_turn() -> None:
    [conversation] = conversations(1, 1, turns=12)
    for turn in range(1, 12):
        earlier, later = request(conversation, turn - 1)["messages"], request(conversation, turn)["messages"]
        assert later[: len(earlier)] == earlier
        assert len(later) > len(earlier)


def test_every_message_an_agent_adds_carries_a_stamp() -> None:
    [conversation] = conversations(1, 1, turns=12)
    added = request(conversation, 11)["messages"][1:]
    assert all(STAMP.decode() in json.dumps(message) for message in added)


def test_stamps_are_where_they_are_said_to_be() -> None:
    [conversation] = conversations(1, 1, turns=12)
    places = [at for turn in conversation.turns for at in turn.stamps]
    assert len(places) == conversation.body.count(STAMP)
    assert all(conversation.body.startswith(STAMP, at) for at in places)


def test_a_tool_result_answers_the_call_before_it() -> None:
    [conversation] = conversations(1, 1, turns=30)
    messages = request(conversation, 29)["messages"]
    for call, result in pairwise(messages):
        assert (result["role"] == "tool") == ("tool_calls" in call)


def test_the_same_seed_makes_the_same_conversations() -> None:
    assert list(conversations(2, 5, turns=3)) == list(conversations(2, 5, turns=3))
    assert list(conversations(2, 5, turns=3)) != list(conversations(2, 6, turns=3))
