"""What agents say: roles and intents, strictest wins, remembered findings, failures."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from gateway.model.message import Entry
from gateway.model.verdict import Assessment, Verdict
from gateway.policy.detectors.shape import Place, Shape, Watch
from gateway.policy.engine import PolicySet
from gateway.policy.judging import Gap
from gateway.policy.load import Agent

Say = Callable[..., Entry]
Make = Callable[..., Agent]


def compiled(agents: Sequence[Agent], timeout_s: float = 0.2) -> PolicySet:
    """Without what every set looks for besides: it takes a while to compile."""
    return PolicySet(agents, timeout_s=timeout_s, sensitive=())


def only(assessments: list[Assessment]) -> Assessment:
    assert len(assessments) == 1
    return assessments[0]


@pytest.mark.parametrize(
    ("role", "intent", "outcome"),
    [
        ("observer", "allow", "allowed"),
        ("observer", "flag", "flagged"),
        ("observer", "redact", "flagged"),
        ("observer", "escalate", "flagged"),
        ("observer", "block", "flagged"),
        ("enforcer", "allow", "allowed"),
        ("enforcer", "flag", "flagged"),
        ("enforcer", "escalate", "escalated"),
        ("enforcer", "block", "blocked"),
    ],
)
def test_role_and_intent_make_the_outcome(said: Say, agent: Make, role: str, intent: str, outcome: str) -> None:
    policies = compiled([agent(role=role, intent=intent)])
    found = only(policies.assess("inlet", [said("the nightjar flies")]))
    assert (found.intent, found.outcome, found.state) == (intent, outcome, "evaluated")


def test_every_agent_of_a_direction_says_something(said: Say, agent: Make) -> None:
    policies = compiled([agent("a"), agent("b", directions="[response]"), agent("c", role="observer")])
    assert [each.agent for each in policies.assess("inlet", [said("hello")])] == ["a", "c"]
    assert [each.outcome for each in policies.assess("inlet", [said("hello")])] == ["allowed", "allowed"]
    assert policies.assess("signal", [said("nightjar")]) == []


def test_the_strictest_of_an_agents_wishes_and_of_all_agents_wins(said: Say, agent: Make) -> None:
    both = agent(
        detect="{mild: {keywords: [owl]}, grave: {keywords: [nightjar]}}", intent="{mild: flag, grave: escalate}"
    )
    policies = compiled([agent("watcher", role="observer"), both])
    verdict = Verdict()
    for each in policies.assess("inlet", [said("owl"), said("nightjar")]):
        verdict.add(each)
    assert verdict.outcome == "escalated"
    assert verdict.decisive is not None
    assert verdict.decisive.agent == "keeper"
    assert verdict.decisive.categories == ("mild", "grave")


def test_inline_are_enforcers_that_are_no_shadows(said: Say, agent: Make) -> None:
    policies = compiled([agent("a"), agent("b", role="observer"), agent("c", shadow="true")])
    assert [each.agent for each in policies.assess("inlet", [said("x")], "inline")] == ["a"]
    assert [each.agent for each in policies.assess("inlet", [said("x")], "tail")] == ["b", "c"]


def test_a_shadow_says_what_it_would_do_and_does_nothing(said: Say, agent: Make) -> None:
    found = only(compiled([agent(shadow="true")]).assess("inlet", [said("nightjar")]))
    assert (found.intent, found.outcome, found.state) == ("block", "allowed", "bypassed")


def test_a_message_is_looked_through_once(said: Say, agent: Make) -> None:
    policies = compiled([agent("a"), agent("b", role="observer")])
    history = [said("hello."), said("a nightjar")]
    first = policies.assess("inlet", history)
    scans = policies._scanner.scans
    second = policies.assess("inlet", history)
    assert policies._scanner.scans == scans == 2
    assert [each.outcome for each in first] == [each.outcome for each in second] == ["blocked", "flagged"]


def test_another_set_looks_again_and_old_notes_do_not_pile_up(said: Say, agent: Make) -> None:
    entry = said("nightjar owl")
    for number in range(12):
        policies = compiled([agent(detect=f"{{c: {{keywords: [owl, k{number}]}}}}")])
        assert only(policies.assess("inlet", [entry])).outcome == "blocked"
    assert len(entry.notes) <= 8


def test_the_reason_counts_and_never_quotes(said: Say, agent: Make) -> None:
    policies = compiled([agent(detect="{codenames: {keywords: [owl, nightjar]}, cards: {entities: [credit_card]}}")])
    found = only(policies.assess("inlet", [said("nightjar, nightjar, 4111111111111111"), said("nightjar")]))
    assert found.reason == "codenames: keyword:1 x3; cards: entity:credit_card"
    assert "4111" not in repr(found)


def test_what_follows_an_escape_in_json_is_seen(said: Say, agent: Make) -> None:
    policies = compiled([agent()])
    assert only(policies.assess("inlet", [said(r'{"note": "a\nnightjar"}')])).outcome == "blocked"
    assert only(policies.assess("inlet", [said(r"C:\nightjar")])).outcome == "blocked"


def breaking(text: str) -> list[Place]:
    raise RuntimeError(text)


def broken(agent: Agent) -> Agent:
    return replace(agent, watches=(*agent.watches, Watch("codenames", Shape("keyword:9", "boom", find=breaking))))


@pytest.mark.parametrize(
    ("role", "on_error", "outcome", "state", "intent"),
    [
        ("enforcer", "allow", "flagged", "failed_open", "allow"),
        ("enforcer", "block", "blocked", "failed_closed", "block"),
        ("observer", "block", "flagged", "failed_open", "allow"),
    ],
)
def test_a_failing_detector_is_never_allowed(
    said: Say, agent: Make, role: str, on_error: str, outcome: str, state: str, intent: str
) -> None:
    policies = compiled([broken(agent(role=role, on_error=on_error)), agent("other")])
    entry = said("secret boom")
    for _ in range(2):  # a failure is not remembered as a clean message
        failing, other = policies.assess("inlet", [entry])
        assert (failing.outcome, failing.state, failing.intent) == (outcome, state, intent)
        assert failing.reason == "keyword:9 failed"
        assert (other.outcome, other.state) == ("allowed", "evaluated")
    assert policies.counters["detector_failures"] == 2


def test_a_failing_detector_does_not_hide_what_others_found(said: Say, agent: Make) -> None:
    found = only(compiled([broken(agent(intent="escalate"))]).assess("inlet", [said("boom nightjar")]))
    assert (found.outcome, found.state) == ("escalated", "failed_open")


@pytest.mark.parametrize(
    ("on_error", "outcome", "state"), [("allow", "flagged", "failed_open"), ("block", "blocked", "failed_closed")]
)
def test_a_flood_of_candidates_is_incomplete_and_remembered_so(
    said: Say, agent: Make, on_error: str, outcome: str, state: str
) -> None:
    flooded = agent(detect="{financial: {entities: [iban]}}", on_error=on_error)
    policies = compiled([flooded, agent("other")])
    entry = said("DE89 3704 0044 0532 0130 01, " * 5_000)
    for _ in range(2):
        found, other = policies.assess("inlet", [entry])
        assert (found.outcome, found.state) == (outcome, state)
        assert found.reason == "entity:iban had more candidates than were looked at"
        assert (other.outcome, other.state) == ("allowed", "evaluated")
    assert policies.counters["findings_cut"] == 1


def test_text_that_would_become_too_much_is_not_called_clean(said: Say, agent: Make) -> None:
    policies = compiled([agent(on_error="block")])
    for text in ("\ufdfa" * 100_000 + "night\u200bjar", "\u00e9" * 100_000 + "\ufdfa" * 100_000):
        found = only(policies.assess("inlet", [said(text)]))
        assert (found.outcome, found.state) == ("blocked", "failed_closed")
    assert policies.counters["readings_cut"] == 2
    seen = only(policies.assess("inlet", [said("nightjar " + "\ufdfa" * 100_000)]))
    assert (seen.outcome, seen.state) == ("blocked", "evaluated")


def test_nothing_of_a_text_that_would_become_too_much_is_stored() -> None:
    text = "\ufdfa" * 100_000 + "a@b.example"
    found = PolicySet([]).sensitive_in(text)
    assert all(each.place == (0, len(text)) and each.more for each in found if each.category != "personal")
    assert any(each.more for each in found)


def test_a_flood_that_holds_a_finding_is_one_of_more(said: Say, agent: Make) -> None:
    flooded = agent(detect="{financial: {entities: [iban]}}")
    text = "DE89 3704 0044 0532 0130 00, " + "DE89 3704 0044 0532 0130 01, " * 5_000
    found = only(compiled([flooded]).assess("inlet", [said(text)]))
    assert (found.outcome, found.state, found.reason) == ("blocked", "evaluated", "financial: entity:iban x1+")


def test_time_out_is_incomplete(said: Say, agent: Make) -> None:
    policies = compiled([agent()], timeout_s=1e-9)
    found = only(policies.assess("inlet", [said("nightjar")], timed=True))
    assert (found.outcome, found.state) == ("flagged", "timed_out")
    assert only(policies.assess("inlet", [said("nightjar")])).outcome == "blocked"


def test_a_gap_flags_or_blocks_enforcers_only(said: Say, agent: Make) -> None:
    policies = compiled([agent("a"), agent("b", role="observer")])
    a, b = policies.assess("inlet", [said("hello")], gap=Gap("it is too large"))
    assert (a.outcome, a.state, a.reason) == ("flagged", "failed_open", "it is too large")
    assert (b.outcome, b.state) == ("allowed", "evaluated")
    a, _ = policies.assess("inlet", [said("hello")], gap=Gap("it is too large", block=True))
    assert (a.outcome, a.state) == ("blocked", "failed_closed")


def test_being_slow_as_well_does_not_open_what_a_gap_closes(said: Say, agent: Make) -> None:
    policies = compiled([agent()], timeout_s=1e-9)
    found = only(policies.assess("inlet", [said("owl")], gap=Gap("it is too large", block=True), timed=True))
    assert (found.outcome, found.state) == ("blocked", "timed_out")
    assert found.reason == "time ran out before everything was assessed"


def test_a_block_after_the_bytes_have_gone_is_bypassed(said: Say, agent: Make) -> None:
    policies = compiled([agent(directions="[response]")])
    found = only(policies.assess("response", [said("nightjar")], released=True))
    assert (found.intent, found.outcome, found.state) == ("block", "flagged", "bypassed")


@pytest.mark.parametrize(
    "texts",
    [
        ["\u2026 \uff4e\uff49\uff47\uff48\uff54\uff4a\uff41\uff52!"],
        ["a night\u200bjar"],
        ["a night", "jar b"],
        ["a ni\u00adght", "", "ja\u2060r"],
        ["nightjar", " nightjar"],
    ],
)
@pytest.mark.parametrize("detect", ["keywords: [nightjar]", "patterns: ['nigh[t]jar']"])
def test_what_a_model_reads_as_a_word_is_found(said: Say, agent: Make, detect: str, texts: list[str]) -> None:
    policies = compiled([agent(detect=f"{{codenames: {{{detect}}}}}")])
    assert only(policies.assess("inlet", [said(*texts)])).outcome == "blocked"


def test_one_finding_counts_once_however_it_is_read(said: Say, agent: Make) -> None:
    policies = compiled([agent()])
    found = only(policies.assess("inlet", [said("\u2026 nightjar", "and\\n more")]))
    assert found.reason == "codenames: keyword:0"


def test_what_may_be_sensitive_is_not_called_clean(said: Say) -> None:
    policies = PolicySet([], sensitive=[Watch("credentials", Shape("secret:x", "boom", find=breaking))])
    with pytest.raises(RuntimeError, match="1 detectors failed"):
        policies.sensitive(said("boom"))
