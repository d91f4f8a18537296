"""Policy files: what they may say, and how every mistake is told."""

from hashlib import sha256
from pathlib import Path

import pytest

from gateway.policy.load import PolicyErrors, load_agents, read_agent

GOOD = b"""
agent: keeper
role: enforcer
directions: [inlet, response]
detect:
  credentials: {secrets: all}
  financial: {entities: [credit_card, iban]}
  codenames: {patterns: ['(?i)project\\s+aurora'], keywords: [nightjar]}
intent:
  credentials: block
  financial: {inlet: flag, response: block}
  codenames: escalate
escalation: {mode: notify}
timeout: 50ms
on_error: block
"""


def lines_of(text: str) -> list[str]:
    with pytest.raises(PolicyErrors) as caught:
        read_agent("p.yaml", text.encode())
    return list(caught.value.lines)


def small(**changes: str) -> str:
    keys = {"agent": "a", "role": "enforcer", "detect": "{c: {keywords: [x]}}"} | changes
    return "\n".join(f"{key}: {value}" for key, value in keys.items())


def test_a_full_file_is_understood() -> None:
    agent = read_agent("p.yaml", GOOD)
    assert agent.rules.wish("financial", "inlet") == "flag"
    assert agent.rules.wish("financial", "response") == "block"
    assert agent.rules.wish("codenames", "inlet") == "escalate"
    assert agent.rules.timeout == 0.05


def test_the_version_is_the_hash_of_the_file() -> None:
    assert read_agent("p.yaml", GOOD).version == sha256(GOOD).hexdigest()[:12]


@pytest.mark.parametrize(
    ("changes", "path", "remedy"),
    [
        ({"when": "provider =="}, "when", "mend the expression"),
        ({"when": "provder == 'local'"}, "when", "did you mean provider?"),
        ({"when": "request.nothing == 'x'"}, "when", "request.nothing is no fact"),
        ({"when": "session.sequence == 'x'"}, "when", "compare what is of one type"),
        ({"when": "session.findings['x']"}, "when", "gives int, not true or false"),
        ({"when": "provider.lowercase() == 'x'"}, "when", "lowercase is no fact and no function"),
        ({"when": "''"}, "when", "mend the expression"),
        ({"when": "[a]"}, "when", "put it in quotes"),
        ({"critical": "[d]"}, "critical", "use c"),
        ({"workspaces": "['a b']"}, "workspaces", "not a name"),
        ({"workspaces": "3"}, "workspaces", "write [research]"),
        ({"workspaces": "{lab: off}"}, "workspaces", "use inherited, configurable, disabled"),
        ({"detect": "{c: {tools: {}}}"}, "detect::c::tools", "give it allow, deny, arguments or repeats"),
        ({"detect": "{c: {tools: {denny: [x]}}}"}, "detect::c::tools::denny", "did you mean deny?"),
        ({"detect": "{c: {tools: {arguments: {f: {type: strnig}}}}}"}, "detect::c::tools::arguments", "f has no JSON"),
        ({"detect": "{c: {tools: {arguments: {f: {$ref: 'http://x/y'}}}}}"}, "detect::c::tools::arguments", "mend it"),
        ({"detect": "{c: {tools: {repeats: 1}}}"}, "detect::c::tools::repeats", "greater than or equal to 2"),
        ({"detect": "{c: {usage: {by: user}}}"}, "detect::c::usage", "give it requests, tokens or cost"),
        ({"detect": "{c: {usage: {cost: 0}}}"}, "detect::c::usage::cost", "greater than 0"),
        ({"detect": "{c: {services: {exceptions: [{}]}}}"}, "detect::c::services::exceptions::0", "fits every service"),
        ({"detect": "{c: {tols: {deny: [x]}}}"}, "detect::c::tols", "did you mean tools?"),
        ({"cases": "[{expect: allowed, given: {modl: x}}]"}, "cases::0::given", "did you mean model?"),
        ({"cases": "[{expect: allowed, given: {model: 1}}]"}, "cases::0::given", "is not of its kind (string)"),
        ({"cases": "[{expect: allowed, sya: x}]"}, "cases::0::sya", "did you mean say?"),
        ({"directions": "[inlet, signal]"}, "directions::1", "use `inlet` or `response`"),
        ({"escalation": "{mode: wait}"}, "escalation::mode", "'notify' or 'hold'"),
        ({"escalation": "{mode: notify, timeout: 60s}"}, "escalation", "write `mode: hold`"),
        ({"escalation": "{mode: hold, then: flag}"}, "escalation::then", "'block' or 'allow'"),
        ({"intent": "{other: flag}"}, "intent::other", "use c"),
        ({"intent": "{}"}, "intent", "add `c: flag`"),
        ({"intent": "{c: {response: flag}}"}, "intent::c", "add `inlet: allow`"),
        ({"intent": "forbid"}, "intent", "use one of allow, flag"),
        ({"detect": "{c: {patterns: ['(?<!x)y']}}"}, "detect::c::patterns::0", "look-behind"),
        ({"detect": "{c: {patterns: ['(a)\\1']}}"}, "detect::c::patterns::0", "back-references"),
        ({"detect": "{c: {patterns: ['^']}}"}, "detect::c::patterns::0", "make some part of it mandatory"),
        ({"detect": "{c: {patterns: ['[']}}"}, "detect::c::patterns::0", "mend it"),
        ({"detect": "{c: {patterns: ['\\bähre']}}"}, "detect::c::patterns::0", "use `keywords`"),
        ({"detect": "{c: {entities: [shoe_size]}}"}, "detect::c::entities::0", "or use `patterns`"),
        ({"detect": "{c: {secrets: [opnai_key]}}"}, "detect::c::secrets::0", "did you mean"),
        ({"detect": "{c: {keywords: [12]}}"}, "detect::c::keywords::0", "put it in quotes"),
        ({"detect": "{c: {}}"}, "detect::c", "give it patterns"),
        ({"timeout": "5"}, "timeout", "300ms"),
        ({"directons": "[inlet]"}, "directons", "did you mean directions"),
        ({"role": "watcher"}, "role", "'observer' or 'enforcer'"),
        ({"agent": "'a b'"}, "agent", "use up to 64 letters"),
    ],
)
def test_a_mistake_names_file_path_and_remedy(changes: dict[str, str], path: str, remedy: str) -> None:
    lines = lines_of(small(**changes))
    assert any(line.startswith(f"p.yaml::{path}: ") and remedy in line for line in lines), lines


def test_an_observer_may_wish_to_redact() -> None:
    agent = read_agent("p.yaml", small(role="observer", intent="redact").encode())
    assert agent.rules.wish("c", "inlet") == "redact"


def test_a_request_that_has_left_cannot_wait_for_a_person() -> None:
    assert "use `inlet: wait`" in lines_of(small(escalation="{mode: hold}", inlet="parallel"))[0]


def test_nothing_can_be_taken_out_of_a_request_that_has_left() -> None:
    assert "use `inlet: wait`" in lines_of(small(intent="redact", inlet="parallel"))[0]


def test_all_mistakes_are_told_at_once() -> None:
    lines = lines_of(small(when="x ==", intent="forbid", inlet="beside", tmeout="1s", detect="{c: {patterns: ['(']}}"))
    assert len(lines) == 5


def test_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(small(role="nobody"))
    (tmp_path / "b.yaml").write_text("[")
    (tmp_path / "c.yaml").write_text(small(agent="twin"))
    (tmp_path / "d.yaml").write_text(small(agent="twin"))
    (tmp_path / "e.yaml").write_text(small() + "\nrole: observer")
    with pytest.raises(PolicyErrors) as caught:
        load_agents([str(tmp_path / "*.yaml"), str(tmp_path / "none" / "*.yaml"), str(tmp_path / "missing.yaml")])
    told = str(caught.value)
    for part in ("a.yaml::role", "b.yaml: is not YAML", "d.yaml::agent", "e.yaml::role: is written twice"):
        assert part in told
    assert "matches no file" in told
    assert "missing.yaml: cannot be read" in told


def test_a_mistake_never_repeats_a_value_that_may_be_secret() -> None:
    lines = lines_of(small(message="[hunter2-secret]", detect="{c: {keywords: {hunter2-secret: 1}}}"))
    assert lines
    assert not any("hunter2" in line for line in lines if "keywords::" not in line)
