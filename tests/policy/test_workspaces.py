"""Which agents judge in which workspace."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gateway.model.exchange import Exchange
from gateway.model.message import Entry
from gateway.policy.engine import PolicySet
from gateway.policy.load import Agent, PolicyErrors, load_agents
from gateway.policy.workspaces import AgentsOf, problems

Say = Callable[..., Entry]
Make = Callable[..., Agent]
Call = Callable[..., Exchange]
CONFIGURED: Mapping[str, AgentsOf] = {"lab": "configurable", "yard": "disabled", "shop": "inherited"}


@pytest.mark.parametrize(
    ("workspace", "judging"),
    [
        ("default", "ab"),
        ("shop", "ab"),
        ("lab", "Bac"),
        ("yard", ""),
        ("attic", "b"),
        ("nobody-wrote-of-it", "ab"),
    ],
)
def test_who_judges_where(said: Say, agent: Make, call: Call, workspace: str, judging: str) -> None:
    lab_b = agent("b", workspaces="[lab]", message="B")
    agents = [lab_b, agent("a", workspaces="{attic: disabled}"), agent("b"), agent("c", workspaces="[lab]")]
    assert list(problems(agents, CONFIGURED)) == []
    policies = PolicySet(agents, sensitive=(), workspaces=CONFIGURED)
    said_there = policies.assess("inlet", [said("nightjar")], "inline", exchange=call(workspace=workspace))
    assert "".join(each.message or each.agent for each in said_there) == judging
    skipped = policies.skipped("inlet", "inline", "no body", exchange=call(workspace=workspace))
    failed = policies.failed("inlet", "inline", exchange=call(workspace=workspace))
    assert len(skipped) == len(failed) == len(judging)


def test_an_agent_of_one_workspace_is_asked_though_there_is_none_for_all(said: Say, agent: Make, call: Call) -> None:
    policies = PolicySet([agent(workspaces="[lab]")], sensitive=(), workspaces=CONFIGURED)
    assert policies.inline
    assert policies.assess("inlet", [said("nightjar")], exchange=call()) == []
    [found] = policies.assess("inlet", [said("nightjar")], exchange=call(workspace="lab"))
    assert found.outcome == "blocked"


def test_what_a_workspaces_own_detectors_count_is_theirs(agent: Make, call: Call) -> None:
    detect = "{c: {usage: {by: key, tokens: 50}}}"
    agents = [agent("a", detect=detect), agent("a", detect=detect, workspaces="[lab]")]
    policies = PolicySet(agents, sensitive=(), workspaces=CONFIGURED)
    policies.ended(call(workspace="lab", tokens=(60, 0)))
    outcomes = [policies.assess("inlet", [], exchange=call(workspace=name))[0].outcome for name in ("lab", "default")]
    assert outcomes == ["blocked", "allowed"]


def test_what_does_not_fit_together_is_said_with_the_remedy(agent: Make) -> None:
    agents = [agent("a"), agent("a", workspaces="[shop]"), agent("b", workspaces="[yard]")]
    told = list(problems(agents, CONFIGURED))
    assert [line.partition(" ")[0] for line in told] == ["a.yaml::workspaces:", "a.yaml::agent:", "b.yaml::workspaces:"]
    assert "configure workspaces: {shop: {agents: configurable}}" in told[0]
    assert "write workspaces: {shop: configurable} there" in told[1]
    assert list(problems([agent("a", workspaces="{shop: configurable}"), agents[1]], CONFIGURED)) == []


def test_a_name_may_be_had_again_by_a_workspace_but_not_twice_in_one(tmp_path: Path) -> None:
    text = "agent: a\nrole: observer\ndetect: {c: {keywords: [x]}}\n"
    (tmp_path / "1.yaml").write_text(text)
    (tmp_path / "2.yaml").write_text(text + "workspaces: [lab]")
    assert len(load_agents([str(tmp_path / "*.yaml")])) == 2
    (tmp_path / "3.yaml").write_text(text + "workspaces: [yard, lab]")
    with pytest.raises(PolicyErrors, match=r"3\.yaml::agent: a is the agent of .*2\.yaml already"):
        load_agents([str(tmp_path / "*.yaml")])
