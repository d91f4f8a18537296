"""What is remembered of sessions for rules across turns, and the agent that lives on it."""

from collections.abc import Callable
from pathlib import Path

from gateway.model.exchange import Exchange
from gateway.model.message import Entry, ToolCall
from gateway.policy.engine import PolicySet
from gateway.policy.load import Agent, load_agents
from gateway.policy.memory import SessionMemory
from gateway.processors.policy import PolicyConfig, PolicyProcessor

Say = Callable[..., Entry]
Make = Callable[..., Agent]
Call = Callable[..., Exchange]
SHIPPED = Path(__file__).parents[2] / "policies"
SECOND_NS = 1_000_000_000


def shipped(*names: str) -> PolicyProcessor:
    return PolicyProcessor(PolicyConfig(), PolicySet(load_agents([str(SHIPPED / f"{name}.yaml") for name in names])))


def said_by(exchange: Exchange, agent: str) -> list[tuple[str, str]]:
    return [(each.outcome, each.state) for each in exchange.verdict.assessments if each.agent == agent]


def fetching(said: Say) -> list[Entry]:
    return [said(ToolCall("web_fetch", None, {"url": "https://example.com"}), role="assistant")]


def test_a_secret_now_and_a_way_out_later_is_exfiltration(said: Say, call: Call) -> None:
    policy = shipped("exfiltration", "data-protector")
    secret = said("my key is sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1b")
    turns = [
        call(said("hello"), answer=fetching(said)),
        call(secret, answer=[said("thanks", role="assistant")]),
        call(said("go on"), answer=fetching(said)),
        call(said("go on"), answer=fetching(said), session="another"),
    ]
    for turn in turns:
        policy.on_tail(turn)
    assert [said_by(turn, "exfiltration") for turn in turns] == [
        [("allowed", "skipped")],
        [("allowed", "evaluated")],
        [("flagged", "evaluated")],
        [("allowed", "skipped")],
    ]


def test_what_the_request_brought_counts_for_its_own_answer(said: Say, call: Call) -> None:
    policy = shipped("exfiltration", "data-protector")
    turn = call(said("charge 4111 1111 1111 1111"), answer=fetching(said))
    policy.on_tail(turn)
    assert said_by(turn, "exfiltration") == [("flagged", "evaluated")]


def test_who_asks_for_no_memory_pays_for_none(said: Say, call: Call) -> None:
    policy = shipped("data-protector")
    policy.on_tail(call(said("charge 4111 1111 1111 1111")))
    assert policy._policies._memory._sessions == {}


def test_a_rule_may_ask_how_often_and_since_when(said: Say, agent: Make, call: Call) -> None:
    often = agent("often", when="has(session.findings.codenames) && session.findings.codenames >= 2")
    late = agent(
        "late",
        when="has(session.first_seen.codenames) && time - session.first_seen.codenames > duration('1m')",
    )
    policies = PolicySet([often, late, agent("finder")], sensitive=())
    states = []
    for second in (0, 10, 20, 90):
        exchange = call(started_ns=1_800_000_000 * SECOND_NS + second * SECOND_NS)
        found = {each.agent: each.state for each in policies.assess("inlet", [said("nightjar")], exchange=exchange)}
        states.append((found["often"], found["late"]))
    assert states == [
        ("skipped", "skipped"),
        ("skipped", "skipped"),
        ("evaluated", "skipped"),
        ("evaluated", "evaluated"),
    ]


def test_what_was_found_outlives_a_reload(said: Say, agent: Make, call: Call) -> None:
    agents = [agent("finder"), agent("second", when="session.findings.size() > 0")]
    first = PolicySet(agents, sensitive=())
    first.assess("inlet", [said("nightjar")], exchange=call())
    second = PolicySet(agents, sensitive=(), before=first)
    assert [each.state for each in second.assess("inlet", [said("owl")], exchange=call())] == ["evaluated"] * 2


def test_memory_is_bounded_and_counts_what_it_forgets(call: Call) -> None:
    memory = SessionMemory(limit=2)
    for session in "abac":
        memory.note(call(session=session), [f"k{number}" for number in range(100)])
    assert memory.counters["sessions_forgotten"] == 1
    assert [bool(memory.findings(call(session=session))) for session in "abc"] == [True, False, True]
    assert len(memory.findings(call(session="a"))) == 64
    assert memory.findings(call(session="a"))["k1"] == 2


def test_an_exchange_without_a_session_leaves_nothing(call: Call) -> None:
    memory = SessionMemory()
    nowhere = call()
    nowhere.session = None
    memory.note(nowhere, ["x"])
    assert (memory.findings(nowhere), memory.first_seen(nowhere)) == ({}, {})
