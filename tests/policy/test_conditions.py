"""`when`: what rules may ask, who looks and who does not, and what a rule that cannot be evaluated comes to."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from gateway.contracts import Fact
from gateway.model.exchange import Captured, Exchange
from gateway.model.message import Entry, ToolCall
from gateway.model.verdict import Assessment
from gateway.policy.conditions import ConditionError, compiled
from gateway.policy.engine import PolicySet
from gateway.policy.facts import FACTS, unknown
from gateway.policy.load import Agent
from gateway.policy.sight import Seen

Say = Callable[..., Entry]
Make = Callable[..., Agent]
Call = Callable[..., Exchange]


def judging(*agents: Agent) -> PolicySet:
    return PolicySet(agents, sensitive=())


def only(assessments: list[Assessment]) -> Assessment:
    assert len(assessments) == 1
    return assessments[0]


TOOLS = b'[{"type":"function","name":"search"},{"type":"function","function":{"name":"bash"}},{"type":"web_search"}]'


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("provider == 'openai'", True),
        ("request.provider != 'openai'", False),
        ("model.startsWith('gpt-') && request.model == model", True),
        ("user == 'ada' && workspace == 'lab' && participant == 'user'", True),
        ("origin == 'codex' || service == 'billing'", True),
        ("direction == 'response'", True),
        ("'bash' in tools && 'web_search' in tools && tools.size() == 3", True),
        ("tools.called == ['bash', 'search']", True),
        ("tools.called.exists(t, t.matches('^ba'))", True),
        ("tokens.input + tokens.output > 100 && cost == 0.0", True),
        ("request.messages == 1 && request.bytes == 2 && !request.stream", True),
        ("response.status >= 400 || 'length' in response.finish_reasons", True),
        ("session.id == 's' && session.sequence == 1 && session.confidence > 0.9", True),
        ("session.source == 'explicit' && !session.header", True),
        ("'credentials' in session.findings", False),
        ("time.getFullYear('UTC') == 2027 && time > timestamp('2026-01-01T00:00:00Z')", True),
        ("time.getHours('Europe/Berlin') in [8, 9]", True),
    ],
)
def test_a_rule_may_ask_for(say_all: Exchange, rule: str, holds: bool) -> None:
    assert say_all.response is not None
    sight = Seen(say_all, "response", say_all.response.messages)
    assert compiled(rule).holds(sight.fact) is holds


@pytest.fixture
def say_all(said: Say, call: Call) -> Exchange:
    answer = said("hm", ToolCall("bash", None, {"command": "ls"}), ToolCall("search", None, {}), role="assistant")
    made = call(said("hello"), answer=[answer], tokens=(90, 20), user="ada", workspace="lab", origin="codex")
    assert made.request is not None
    assert made.response is not None
    made.request.tools = TOOLS
    made.response.finish_reasons = ["length"]
    return made


def test_every_fact_is_of_the_kind_that_it_says(say_all: Exchange) -> None:
    for name, fact in FACTS.items():
        found = Seen(say_all, "response", ()).fact(name)
        assert type(found) is type(unknown(fact.kind)), name


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_has_a_value_where_nothing_is_known(name: str) -> None:
    bare = Exchange("e", 0, "GET", "/", [], Captured(0), b"", b"")
    found = Seen(bare, "inlet", ()).fact(name)
    assert type(found) is type(unknown(FACTS[name].kind))


def test_only_what_a_rule_names_is_looked_up() -> None:
    asked: list[str] = []

    def fact(name: str) -> Fact:
        asked.append(name)
        return unknown(FACTS[name].kind)

    compiled("model == 'x' && session . sequence > 2 && tools.called.size() == 0").holds(fact)
    assert sorted(asked) == ["model", "session.sequence", "tools.called"]


@pytest.mark.parametrize("rule", ["1 / tokens.input > 0", "session.findings['x'] > 0", "user.matches('(')"])
def test_what_cannot_be_evaluated_is_said_without_its_values(call: Call, rule: str) -> None:
    with pytest.raises(ConditionError, match=r"^it cannot be evaluated$"):
        compiled(rule).holds(Seen(call(user="secret"), "inlet", ()).fact)


def test_what_is_remembered_is_of_the_same_facts() -> None:
    rule = compiled("user == 'ada' || 'bash' in tools || has(session.findings.c) || request.stream")
    nothing: dict[str, Fact] = {"user": "", "tools": [], "session.findings": {}, "request.stream": False}
    for facts, holds in (
        ({}, False),
        ({"user": "ada"}, True),
        ({"user": "bob"}, False),
        ({"tools": ["bash"]}, True),
        ({"tools": ["ls"]}, False),
        ({"session.findings": {"c": 1}}, True),
        ({"request.stream": True}, True),
    ):
        said = nothing | facts
        assert [rule.holds(said.__getitem__) for _ in range(2)] == [holds, holds], facts
    for number in range(1_000):
        assert not rule.holds((nothing | {"user": f"u{number}"}).__getitem__)
    assert len(rule._known) <= 256


def test_lists_in_lists_take_no_time_that_others_wait_for() -> None:
    rule = compiled("tools.exists(a, tools.exists(b, tools.exists(c, a + b + c == 'x')))")
    assert rule.holds(lambda _: ["t"] * 10) is False
    with pytest.raises(RuntimeError, match="budget"):
        rule.holds(lambda _: ["t"] * 1_000)


def test_an_agent_that_is_not_meant_is_skipped_and_looks_at_nothing(said: Say, agent: Make, call: Call) -> None:
    policies = judging(agent(when="provider == 'local'"))
    skipped = only(policies.assess("inlet", [said("nightjar")], exchange=call()))
    assert (skipped.outcome, skipped.state, skipped.reason) == ("allowed", "skipped", "its condition does not hold")
    assert policies._scanner.scans == 0
    meant = only(policies.assess("inlet", [said("nightjar")], exchange=call(provider="local")))
    assert (meant.outcome, meant.state) == ("blocked", "evaluated")


def test_a_condition_is_one_agents_own(said: Say, agent: Make, call: Call) -> None:
    policies = judging(agent("a", when="provider == 'local'"), agent("b"), agent("c", when="1 < 2"))
    said_by = {each.agent: each.outcome for each in policies.assess("inlet", [said("nightjar")], exchange=call())}
    assert said_by == {"a": "allowed", "b": "blocked", "c": "blocked"}
    assert list(said_by) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("role", "on_error", "outcome", "state"),
    [
        ("enforcer", "allow", "flagged", "failed_open"),
        ("enforcer", "block", "blocked", "failed_closed"),
        ("observer", "block", "flagged", "failed_open"),
    ],
)
def test_a_rule_that_breaks_is_never_allowed_and_counted(
    said: Say, agent: Make, call: Call, role: str, on_error: str, outcome: str, state: str
) -> None:
    policies = judging(agent(when="1 / tokens.input > 0", role=role, on_error=on_error), agent("other"))
    broken, other = policies.assess("inlet", [said("hello")], exchange=call())
    assert (broken.outcome, broken.state, broken.reason) == (outcome, state, "its condition failed")
    assert (other.outcome, other.state) == ("allowed", "evaluated")
    assert policies.counters["conditions_failed"] == 1


def test_who_has_conditions_must_know_the_exchange(said: Say, agent: Make) -> None:
    with pytest.raises(ValueError, match="which exchange"):
        judging(agent(when="1 < 2")).assess("inlet", [said("hello")])


def test_what_is_given_is_not_looked_up(call: Call) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    sight = Seen(call(), "inlet", (), given={"model": "mine", "time": at})
    assert compiled("model == 'mine' && time.getMonth() == 2 && provider == 'openai'").holds(sight.fact)


def test_a_critical_categorys_block_is_for_a_person_to_decide(said: Say, agent: Make) -> None:
    policies = judging(
        agent(
            detect="{mild: {keywords: [owl]}, grave: {keywords: [nightjar]}}",
            intent="{mild: flag, grave: {inlet: block, response: flag}}",
            critical="[grave, mild]",
            directions="[inlet, response]",
        )
    )
    assert [each.outcome for each in policies.assess("inlet", [said("nightjar")])] == ["escalated"]
    assert [each.outcome for each in policies.assess("inlet", [said("owl")])] == ["flagged"]
    assert [each.intent for each in policies.assess("response", [said("nightjar")])] == ["flag"]
