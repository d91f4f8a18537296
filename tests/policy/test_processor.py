"""The policy processor on whole exchanges."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import pytest

from gateway.model.exchange import Captured, Connection, Exchange
from gateway.model.message import Entry, RequestReading, ResponseReading
from gateway.policy.engine import PolicySet
from gateway.policy.load import Agent
from gateway.processors.policy import PolicyConfig, PolicyProcessor, policies_of
from gateway.providers.generic import Generic
from gateway.providers.known import KnownMessageCache

Say = Callable[..., Entry]
Make = Callable[..., Agent]
State = Literal["full", "truncated", "unreadable", "off"]


def processor(*agents: Agent, **config: object) -> PolicyProcessor:
    return PolicyProcessor(PolicyConfig.model_validate(config), PolicySet(agents, sensitive=()))


def exchange(*messages: Entry, state: State = "full", answer: Sequence[Entry] = ()) -> Exchange:
    body = Captured(100)
    body.add(b"{}")
    made = Exchange("e", 0, "POST", "/v1/x", [], body, b"t" * 16, b"s" * 8)
    made.request = RequestReading()
    made.request.messages = list(messages)
    made.request.state = state
    if answer:
        made.response = ResponseReading()
        made.response.messages = list(answer)
    return made


def test_a_block_refuses_and_says_who_and_why_not_what(said: Say, agent: Make) -> None:
    judged = exchange(said("the nightjar flies"))
    policy = processor(agent(message="Use the public name."))
    assert policy.needs_reading
    policy.on_request(judged)
    assert judged.refusal is not None
    assert (judged.refusal.status, judged.refusal.code) == (403, "blocked_by_policy")
    assert judged.refusal.message == "Blocked by policy agent keeper: codenames: keyword:0. Use the public name."
    assert judged.outcome == "blocked"
    assert policy.counters()["blocked"] == 1


@pytest.mark.parametrize("changes", [{"intent": "redact"}, {"inlet": "parallel"}])
def test_on_a_websocket_everybody_is_waited_for_and_nothing_is_changed(
    said: Say, agent: Make, changes: dict[str, str]
) -> None:
    judged = exchange(said("a nightjar"))
    judged.connection = Connection()
    processor(agent(**changes)).on_request(judged)
    assert judged.refusal is not None
    assert judged.outcome == "blocked"


def test_system_instructions_are_assessed_too(said: Say, agent: Make) -> None:
    judged = exchange(said("hello"))
    assert judged.request is not None
    judged.request.system = [said("nightjar", role="system")]
    processor(agent()).on_request(judged)
    assert judged.refusal is not None


def test_tool_definitions_are_assessed_too_and_scanned_once(said: Say, agent: Make) -> None:
    judged, again = exchange(said("hello")), exchange(said("hello"))
    definitions = (said('[{"name": "nightjar"}]', role="system"),)
    policies = PolicySet([agent()], sensitive=())
    for each in (judged, again):
        assert each.request is not None
        each.request.definitions = definitions
        PolicyProcessor(PolicyConfig(), policies).on_request(each)
        assert each.refusal is not None
    assert policies._scanner.scans == 3


def test_observers_wait_for_the_tail_and_need_no_reading_before(said: Say, agent: Make) -> None:
    judged = exchange(said("nightjar"), answer=[said("nightjar too")])
    policy = processor(agent(role="observer", directions="[inlet, response]"))
    assert not policy.needs_reading
    policy.on_request(judged)
    assert judged.verdict.assessments == []
    policy.on_tail(judged)
    assert [(a.direction, a.outcome) for a in judged.verdict.assessments] == [
        ("inlet", "flagged"),
        ("response", "flagged"),
    ]


def test_an_escalation_notifies_and_passes(said: Say, agent: Make) -> None:
    judged = exchange(said("nightjar"))
    processor(agent(intent="escalate")).on_request(judged)
    assert judged.refusal is None
    assert judged.outcome == "escalated"


def test_a_block_on_the_response_is_flagged_because_it_has_left(said: Say, agent: Make) -> None:
    judged = exchange(said("hello"), answer=[said("nightjar")])
    policy = processor(agent(directions="[inlet, response]"))
    policy.on_request(judged)
    policy.on_tail(judged)
    assert judged.refusal is None
    assert [(a.direction, a.intent, a.outcome, a.state) for a in judged.verdict.assessments] == [
        ("inlet", "allow", "allowed", "evaluated"),
        ("response", "block", "flagged", "bypassed"),
    ]


def test_enforcers_that_were_not_asked_in_line_speak_on_the_tail(said: Say, agent: Make) -> None:
    judged = exchange(said("nightjar"))
    processor(agent()).on_tail(judged)
    assert [(a.outcome, a.state) for a in judged.verdict.assessments] == [("flagged", "bypassed")]


@pytest.mark.parametrize(
    ("state", "config", "outcome"),
    [
        ("unreadable", {}, "flagged"),
        ("unreadable", {"unreadable": "block"}, "blocked"),
        ("truncated", {}, "flagged"),
        ("truncated", {"oversize": "block"}, "blocked"),
        ("truncated", {"unreadable": "block"}, "flagged"),
        ("off", {"unreadable": "block"}, "allowed"),
    ],
)
def test_what_could_not_be_read_whole(
    said: Say, agent: Make, state: State, config: dict[str, object], outcome: str
) -> None:
    judged = exchange(said("raw text"), state=state)
    processor(agent(), **config).on_request(judged)
    assert judged.outcome == outcome
    assert (judged.refusal is not None) == (outcome == "blocked")


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'{"novel":"hello"}', "allowed"),
        (b"no JSON", "allowed"),
        (b'{"novel":"nightjar"}', "blocked"),
        (b'{"novel":"hello","novel":"hi"}', "blocked"),
        (b'{"novel":', "blocked"),
    ],
    ids=["unknown", "text", "a codeword", "a name twice", "broken"],
)
def test_an_api_that_nobody_knows_is_not_closed_for_that_alone(agent: Make, body: bytes, outcome: str) -> None:
    judged = exchange()
    generic = Generic()
    judged.api = generic.name
    judged.request = generic.read_request(body, KnownMessageCache())
    processor(agent(), unreadable="block").on_request(judged)
    assert (judged.outcome, judged.capture) == (outcome, "unreadable")


def test_raw_text_of_an_unreadable_body_is_assessed(said: Say, agent: Make) -> None:
    judged = exchange(said("<nightjar>"), state="unreadable")
    processor(agent()).on_request(judged)
    assert judged.outcome == "blocked"


def test_no_reading_is_a_gap_where_there_was_a_body_and_nothing_where_there_was_none(agent: Make) -> None:
    unread, empty = exchange(), exchange()
    unread.request = empty.request = None
    empty.request_body = Captured(100)
    policy = processor(agent())
    policy.on_request(unread)
    policy.on_request(empty)
    assert [(a.outcome, a.state) for a in unread.verdict.assessments] == [("flagged", "failed_open")]
    assert [(a.outcome, a.state) for a in empty.verdict.assessments] == [("allowed", "skipped")]


def test_a_request_that_asks_in_its_target_has_nothing_to_assess(said: Say, agent: Make) -> None:
    poll = exchange()
    poll.request_body = Captured(100)
    processor(agent()).on_request(poll)
    assert [(a.outcome, a.state) for a in poll.verdict.assessments] == [("allowed", "skipped")]


def test_our_own_mistake_follows_on_error(said: Say, agent: Make) -> None:
    broken = said("hello")
    broken.notes = None  # type: ignore[assignment]
    open_, closed = exchange(broken), exchange(broken)
    policy = processor(agent())
    policy.on_request(open_)
    processor(agent(on_error="block")).on_request(closed)
    assert [(a.outcome, a.state) for a in open_.verdict.assessments] == [("flagged", "failed_open")]
    assert closed.refusal is not None
    assert policy.counters()["failures"] == 1


def test_an_exchange_that_was_judged_in_line_stays_with_its_judges(said: Say, agent: Make) -> None:
    first, second = (
        PolicySet([agent("a", message=f"set {number}", directions="[inlet, response]"), agent("b", role="observer")])
        for number in (1, 2)
    )
    begun, later = (exchange(said("owl"), answer=[said("nightjar")]) for _ in range(2))
    policy = PolicyProcessor(PolicyConfig(), first)
    policy.on_request(begun)
    policy.take(second)
    policy.on_request(later)
    for each in (begun, later):
        policy.on_tail(each)
    for each, judges in ((begun, first), (later, second)):
        versions = {assessment.version for assessment in each.verdict.assessments}
        assert versions == {judging.version for judging in judges.agents}
        assert len(each.verdict.assessments) == 3


def test_the_first_enforcer_that_comes_with_a_reload_is_asked_in_line(said: Say, agent: Make) -> None:
    policy = processor(agent(role="observer"))
    before = policy.needs_reading
    policy.take(PolicySet([agent()], sensitive=()))
    assert (before, policy.needs_reading) == (False, True)
    judged = exchange(said("nightjar"))
    policy.on_request(judged)
    assert judged.refusal is not None


def test_a_refused_user_reads_what_is_approved_instead(agent: Make) -> None:
    judged = exchange()
    judged.provider = "openai"
    gate = agent(detect="{c: {services: {exceptions: [{provider: openai, instead: azure}]}}}", message="Not here.")
    processor(gate).on_request(judged)
    assert judged.refusal is not None
    assert judged.refusal.message == "Blocked by policy agent keeper: c: service:denied. Not here. Use azure instead."


def test_what_needs_no_text_is_asked_of_a_request_without_a_body(agent: Make) -> None:
    poll = exchange()
    poll.request_body = Captured(100)
    poll.request = None
    poll.provider = "openai"
    gate = agent(detect="{c: {services: {exceptions: [{provider: openai}]}}}")
    processor(gate, agent("texts")).on_request(poll)
    assert poll.refusal is not None
    assert [each.state for each in poll.verdict.assessments] == ["evaluated", "skipped"]


def test_a_body_that_is_not_read_whole_is_a_gap_for_agents_with_other_detectors_too(said: Say, agent: Make) -> None:
    judged = exchange(said("raw"), state="unreadable")
    processor(agent(detect="{c: {tools: {deny: [bash]}}}"), unreadable="block").on_request(judged)
    assert judged.outcome == "blocked"


def test_agents_that_do_not_fit_into_their_workspaces_are_no_configuration(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("agent: a\nrole: observer\ndetect: {c: {keywords: x}}\nworkspaces: [lab]")
    config = PolicyConfig(files=(str(file),))
    with pytest.raises(ValueError, match="lab has no agents of its own"):
        policies_of(config)
    assert policies_of(config, {"lab": "configurable"}).agents[0].name == "a"


def test_the_configuration_names_files() -> None:
    with pytest.raises(ValueError, match="matches no file"):
        policies_of(PolicyConfig(files=("/nowhere/*.yaml",)))
