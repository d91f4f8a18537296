"""Detectors that are no patterns: tool calls, usage, services, and those found by entry point."""

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint

import pytest

from gateway.contracts import Detector, Finding, Sight, SkippedError
from gateway.model.exchange import Exchange
from gateway.model.message import Entry, ServerToolCall, ToolCall
from gateway.model.verdict import Assessment
from gateway.policy.detectors import known
from gateway.policy.detectors.known import DetectorConfig
from gateway.policy.engine import PolicySet
from gateway.policy.load import Agent, PolicyErrors

Say = Callable[..., Entry]
Make = Callable[..., Agent]
Call = Callable[..., Exchange]
SECOND_NS = 1_000_000_000


def judging(*agents: Agent, before: PolicySet | None = None) -> PolicySet:
    return PolicySet(agents, sensitive=(), before=before)


def only(assessments: list[Assessment]) -> Assessment:
    assert len(assessments) == 1
    return assessments[0]


def bash(command: object) -> ToolCall:
    return ToolCall("bash", None, command)


# Tools


@pytest.mark.parametrize(
    ("tools", "part", "reason"),
    [
        ("deny: [bash]", bash({}), "c: tool:denied"),
        ("deny: ['*SH']", ToolCall("Bash"), "c: tool:denied"),
        ("deny: [bash]", ServerToolCall("bash", None, {}), "c: tool:denied"),
        ("deny: [bas]", bash({}), ""),
        ("allow: [search, read_*]", bash({}), "c: tool:not_allowed"),
        ("allow: [search, read_*]", ToolCall("read_file"), ""),
        ("arguments: {bash: {properties: {n: {maximum: 3}}, required: [n]}}", bash({"n": 4}), "c: tool:arguments"),
        ("arguments: {bash: {properties: {n: {maximum: 3}}, required: [n]}}", bash({}), "c: tool:arguments"),
        ("arguments: {bash: {properties: {n: {maximum: 3}}, required: [n]}}", bash({"n": 3}), ""),
        ("arguments: {bash: {type: object}}", bash('{"n": '), "c: tool:arguments"),
        ("arguments: {bash: {type: object}}", ToolCall("other", None, "broken"), ""),
        (
            "arguments: {bash: {properties: {n: {pattern: '^(a+)+$'}}}}",
            bash({"n": "a" * 50_000 + "!"}),
            "c: tool:arguments",
        ),
    ],
)
def test_tool_calls(said: Say, agent: Make, call: Call, tools: str, part: ToolCall, reason: str) -> None:
    policies = judging(agent(detect=f"{{c: {{tools: {{{tools}}}}}}}", directions="[response]"))
    answer = [said("see", part, role="assistant")]
    found = only(policies.assess("response", answer, exchange=call(answer=answer)))
    assert (found.reason, found.outcome) == (reason, "blocked" if reason else "allowed")


def test_words_about_a_tool_are_no_call_of_it(said: Say, agent: Make, call: Call) -> None:
    policies = judging(agent(detect="{c: {tools: {deny: ['*']}}}"))
    text = '{"type":"tool_call","name":"bash"}'
    assert only(policies.assess("inlet", [said(text)], exchange=call())).outcome == "allowed"


def test_calls_are_counted_and_never_named(said: Say, agent: Make, call: Call) -> None:
    policies = judging(agent(detect="{c: {tools: {deny: [bash]}}}"))
    history = [said(bash({"n": 1}), bash({"n": 2}), role="assistant"), said(bash({"n": 3}), role="assistant")]
    assert only(policies.assess("inlet", history, exchange=call())).reason == "c: tool:denied x3"


def test_the_same_call_again_and_again_is_seen_in_the_history(said: Say, agent: Make, call: Call) -> None:
    policies = judging(agent(detect="{c: {tools: {repeats: 3}}}", directions="[response]"))
    one, same = {"path": "a", "n": 1}, {"n": 1, "path": "a"}
    history = [said(bash(one), role="assistant"), said(bash({"n": 2}), role="assistant")]

    def outcome(*asked: Entry) -> str:
        answer = [said("again", bash(same), role="assistant")]
        return only(policies.assess("response", answer, exchange=call(*asked, answer=answer))).outcome

    assert outcome(*history) == "allowed"
    assert outcome(*history, said("and", bash(one), role="assistant")) == "blocked"


def test_the_same_call_is_remembered_in_its_session_where_no_history_tells(said: Say, agent: Make, call: Call) -> None:
    policies = judging(agent(detect="{c: {tools: {repeats: 3}}}", directions="[response]"))
    answer = [said(bash({"n": 1}), role="assistant")]

    def outcome(session: str) -> str:
        exchange = call(answer=answer, session=session)
        found = only(policies.assess("response", answer, exchange=exchange)).outcome
        policies.ended(exchange)
        return found

    assert [outcome("a") for _ in range(3)] == ["allowed", "allowed", "blocked"]
    assert outcome("b") == "allowed"


# Usage


def used(policies: PolicySet, exchange: Exchange) -> Assessment:
    found = only(policies.assess("inlet", [], exchange=exchange))
    policies.ended(exchange)
    return found


@pytest.mark.parametrize(
    ("usage", "tokens", "outcomes", "reason"),
    [
        ("requests: 2", (0, 0), "aab", "c: usage:requests"),
        ("tokens: 100", (60, 30), "aab", "c: usage:tokens"),
        ("cost: 0.5", (60, 1), "aab", "c: usage:cost"),
        ("cost: 0.7", (60, 1), "aaa", ""),
    ],
)
def test_more_than_a_limit(
    agent: Make, call: Call, usage: str, tokens: tuple[int, int], outcomes: str, reason: str
) -> None:
    policies = judging(agent(detect=f"{{c: {{usage: {{{usage}}}}}}}"))
    found = [used(policies, call(tokens=tokens, cost_nusd=300_000_000)) for _ in outcomes]
    assert "".join(each.outcome[0] for each in found) == outcomes
    assert found[-1].reason == reason


@pytest.mark.parametrize(
    ("by", "same", "other"),
    [
        ("session", {"session": "s"}, {"session": "t"}),
        ("user", {"user": "ada"}, {"user": "bob"}),
        ("key", {"principal": "k"}, {"principal": "l"}),
        ("workspace", {"workspace": "w"}, {"workspace": "v"}),
    ],
)
def test_each_counts_for_itself(agent: Make, call: Call, by: str, same: dict[str, str], other: dict[str, str]) -> None:
    policies = judging(agent(detect=f"{{c: {{usage: {{by: {by}, requests: 1}}}}}}"))
    assert used(policies, call(**same)).outcome == "allowed"
    assert used(policies, call(**other)).outcome == "allowed"
    assert used(policies, call(**same)).outcome == "blocked"


def test_nobody_known_is_not_counted_together(agent: Make, call: Call) -> None:
    policies = judging(agent(detect="{c: {usage: {by: user, requests: 1}}}"))
    assert {used(policies, call()).outcome for _ in range(5)} == {"allowed"}


def test_a_window_slides_and_what_is_long_ago_counts_no_more(agent: Make, call: Call) -> None:
    policies = judging(agent(detect="{c: {usage: {window: 10s, requests: 4}}}"))
    began = 1_800_000_000 * SECOND_NS

    def outcome(after_s: float) -> str:
        return used(policies, call(started_ns=began + int(after_s * SECOND_NS))).outcome

    assert [outcome(1) for _ in range(4)] == ["allowed"] * 4
    assert outcome(11) == "blocked"  # nine tenths of the four before, and this one
    assert outcome(17) == "allowed"  # three tenths of them, and two
    assert outcome(31) == "allowed"
    assert outcome(5) == "allowed"  # a clock that went back counts on in the newest window


def test_a_flood_of_strangers_is_forgotten_not_kept(agent: Make, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.policy.detectors.usage._REMEMBERED", 3)
    policies = judging(agent(detect="{c: {usage: {requests: 1}}}"))
    for number in range(10):
        used(policies, call(principal=f"k{number}"))
    [detector] = [each.detector for each in policies.agents[0].equipment]
    assert len(detector._counted) == 3  # type: ignore[attr-defined]
    assert policies.counted() == {"keeper.c.callers_forgotten": 7}


def test_what_was_counted_goes_on_after_a_reload_unless_its_rule_is_another(agent: Make, call: Call) -> None:
    detect = "{c: {usage: {requests: 1}}}"
    first = judging(agent(detect=detect))
    used(first, call())
    second = judging(agent(detect=detect, message="Other words."), before=first)
    assert used(second, call()).outcome == "blocked"
    third = judging(agent(detect="{c: {usage: {requests: 2}}}"), before=second)
    assert used(third, call()).outcome == "allowed"


# Services


@pytest.mark.parametrize(
    ("services", "fields", "denied", "message"),
    [
        (
            "exceptions: [{model: 'gpt-3.5*', instead: gpt-5}]",
            {"model": "GPT-3.5-turbo"},
            True,
            "No. Use gpt-5 instead.",
        ),
        ("exceptions: [{model: 'gpt-3.5*'}]", {"model": "gpt-5"}, False, ""),
        ("exceptions: [{provider: openai, model: 'o*'}]", {"model": "gpt-5"}, False, ""),
        ("exceptions: [{provider: openai, origin: codex}]", {"origin": "codex"}, True, "No."),
        ("default: deny, exceptions: [{provider: [azure, openai]}], instead: azure", {}, False, ""),
        ("default: deny, exceptions: [{provider: azure}], instead: azure", {}, True, "No. Use azure instead."),
        ("default: deny", {}, True, "No."),
    ],
)
def test_services(agent: Make, call: Call, services: str, fields: dict[str, str], denied: bool, message: str) -> None:
    policies = judging(agent(detect=f"{{c: {{services: {{{services}}}}}}}", message="No."))
    found = only(policies.assess("inlet", [], exchange=call(**fields)))
    assert (found.outcome, found.message) == ("blocked" if denied else "allowed", message)
    without_a_body = only(policies.skipped("inlet", "all", "the request has no body", exchange=call(**fields)))
    assert without_a_body.outcome == found.outcome


# All of them


class Stubborn(DetectorConfig):
    """Of somebody else's package."""

    does: str = "find"

    def detector(self, instructions: str) -> Detector:
        if self.does == "refuse":
            raise ValueError("needs a model; name one")
        return _Stubborn(self.does, instructions)


class _Stubborn(Detector):
    def __init__(self, does: str, instructions: str) -> None:
        self._does, self._instructions = does, instructions

    def findings(self, sight: Sight) -> Sequence[Finding]:
        match self._does:
            case "raise":
                raise RuntimeError("nightjar")
            case "late":
                raise TimeoutError
            case "skip":
                raise SkippedError("the model is not installed")
            case "nonsense":
                return [("x",)]  # type: ignore[list-item]
            case "obey":
                return [Finding(f"stubborn:{self._instructions}", 2, 0.4)]
        return [Finding("stubborn:found", 1, 7.0)]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("stubborn", f"{__name__}:Stubborn", known.ENTRY_POINT)
    broken = EntryPoint("broken", "nowhere.at.all:Config", known.ENTRY_POINT)
    wrong = EntryPoint("wrong", "pathlib:Path", known.ENTRY_POINT)
    monkeypatch.setattr(known, "entry_points", lambda group: [entry, broken, wrong])
    known.found_by_entry_point.cache_clear()


@pytest.fixture(autouse=True)
def forgotten() -> object:
    yield
    known.found_by_entry_point.cache_clear()


@pytest.mark.parametrize(
    ("does", "on_error", "outcome", "state", "reason"),
    [
        ("find", "allow", "blocked", "evaluated", "c: stubborn:found"),
        ("obey", "allow", "blocked", "evaluated", "c: stubborn:be strict x2"),
        ("raise", "allow", "flagged", "failed_open", "stubborn failed"),
        ("raise", "block", "blocked", "failed_closed", "stubborn failed"),
        ("nonsense", "block", "blocked", "failed_closed", "stubborn failed"),
        ("late", "allow", "flagged", "timed_out", "time ran out before everything was assessed"),
        ("late", "block", "blocked", "timed_out", "time ran out before everything was assessed"),
        ("skip", "block", "allowed", "skipped", "stubborn: the model is not installed"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_whatever_a_detector_does_has_a_name(
    said: Say, agent: Make, call: Call, does: str, on_error: str, outcome: str, state: str, reason: str
) -> None:
    odd = agent("odd", detect=f"{{c: {{stubborn: {{does: {does}}}}}}}", instructions="be strict", on_error=on_error)
    policies = judging(odd, agent("other"))
    found, other = policies.assess("inlet", [said("hello")], exchange=call(), timed=True)
    assert (found.outcome, found.state, found.reason) == (outcome, state, reason)
    assert 0 <= found.confidence <= 1
    assert other.outcome == "allowed"


@pytest.mark.usefixtures("installed")
def test_a_detector_that_is_late_on_the_tail_is_late_too(said: Say, agent: Make, call: Call) -> None:
    policies = judging(agent(role="observer", detect="{c: {stubborn: {does: late}}}"))
    found = only(policies.assess("inlet", [said("hello")], exchange=call()))
    assert (found.outcome, found.state) == ("flagged", "timed_out")


@pytest.mark.usefixtures("installed")
def test_one_category_may_look_with_several_things(said: Say, agent: Make, call: Call) -> None:
    detect = "{c: {keywords: [nightjar], stubborn: {does: obey}}, d: {stubborn: {does: raise}}}"
    found = only(judging(agent(detect=detect)).assess("inlet", [said("a nightjar")], exchange=call()))
    assert found.reason == "c: keyword:0, stubborn: x2; stubborn failed"
    assert (found.categories, found.state, found.confidence) == (("c",), "failed_open", 0.4)


@pytest.mark.parametrize(
    ("detect", "line"),
    [
        ("{stubborn: {dose: find}}", "detect::c::stubborn::dose: is not a known key; did you mean does?"),
        ("{stubborn: {does: refuse}}", "detect::c::stubborn: needs a model; name one"),
        (
            "{broken: {}}",
            "detect::c::broken: nowhere.at.all:Config cannot be loaded (ModuleNotFoundError); mend or uninstall",
        ),
        ("{wrong: {}}", "detect::c::wrong: pathlib:Path is no DetectorConfig"),
        ("{stuborn: {}}", "detect::c::stuborn: is no known detector; did you mean stubborn?"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_mistakes_about_detectors_of_others(agent: Make, detect: str, line: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        agent(detect=f"{{c: {detect}}}")
    assert any(each.startswith(f"keeper.yaml::{line}") for each in caught.value.lines), caught.value.lines


def test_what_a_cheap_agent_blocks_is_not_scanned_while_somebody_waits(said: Say, agent: Make, call: Call) -> None:
    gate = agent("gate", detect="{c: {services: {default: deny}}}")
    policies = judging(agent("first"), gate, agent("last", when="1 < 2"))
    waited = policies.assess("inlet", [said("nightjar")], exchange=call(), timed=True)
    assert [(each.agent, each.outcome, each.state) for each in waited] == [
        ("first", "allowed", "skipped"),
        ("gate", "blocked", "evaluated"),
        ("last", "allowed", "skipped"),
    ]
    assert waited[0].reason == "gate has blocked it already"
    assert policies._scanner.scans == 0
    later = policies.assess("inlet", [said("nightjar")], exchange=call())
    assert [each.outcome for each in later] == ["blocked"] * 3
    # What was moot is not remembered as clean.
    assert policies._scanner.scans == 1
