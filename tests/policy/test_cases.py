"""Cases written in policy files, and the agents that ship."""

from pathlib import Path

import pytest

from gateway.policy.cases import render, run_cases
from gateway.policy.engine import PolicySet
from gateway.policy.load import Agent, load_agents

SHIPPED = str(Path(__file__).parents[2] / "policies" / "*.yaml")


@pytest.fixture
def failing(tmp_path: Path) -> str:
    path = tmp_path / "a.yaml"
    path.write_text(
        "agent: a\nrole: enforcer\ndirections: [inlet, response]\ndetect: {c: {keywords: [nightjar]}}\nintent: block\n"
        "shadow: true\n"
        "cases:\n  - {say: the nightjar, expect: blocked}\n  - {say: the owl, expect: blocked}\n"
        "  - {say: nightjar, expect: flagged, direction: response}\n"
    )
    return str(path)


def test_shipped_agents_pass_their_own_cases() -> None:
    report = run_cases([SHIPPED])
    assert report.ok, render(report, color=False)
    assert {line.agent for line in report.lines} == {path.stem for path in Path(SHIPPED).parent.glob("*.yaml")}
    assert {line.expected for line in report.lines} == {"allowed", "flagged"}


@pytest.mark.parametrize("agent", load_agents([SHIPPED]), ids=lambda agent: agent.name)
def test_each_shipped_agent_only_watches_and_has_cases_of_both_kinds(agent: Agent) -> None:
    assert agent.rules.role == "observer"
    assert {case.expect for case in agent.rules.cases} == {"allowed", "flagged"}


def test_shipped_agents_look_for_a_hundred_things() -> None:
    assert sum(len(agent.watches) for agent in load_agents([SHIPPED])) >= 100


def test_every_shape_that_ships_can_tell_its_place() -> None:
    scanner = PolicySet(load_agents([SHIPPED]))._scanner
    located = zip(scanner.shapes, scanner._locators, strict=True)
    assert [shape.name for shape, locator in located if shape.find is None and locator is None] == []


def test_a_failed_case_says_what_was_expected(failing: str) -> None:
    report = run_cases([failing])
    assert not report.ok
    assert [line.ok for line in report.lines] == [True, False, True]
    shown = render(report, color=False)
    assert "FAIL a #2 expected blocked, got allowed: the owl" in shown
    assert shown.endswith("2 of 3 cases passed")
    assert "\x1b[31mFAIL" in render(report, color=True)
