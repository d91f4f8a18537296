"""Which agents judge in which workspace: the organisation's as they are, in its own words, or not at all."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gateway.policy.load import Agent

AgentsOf = Literal["inherited", "configurable", "disabled"]
"""What an organisation's agent is to a workspace: as written; as written unless the workspace has one of the same name
of its own; not there."""

Workspaces = Mapping[str, AgentsOf]
"""Of those that are configured; any other inherits."""


def own(agent: "Agent") -> tuple[str, ...]:
    """The workspaces whose own agent it is; none for an organisation's."""
    written = agent.rules.workspaces
    return written if isinstance(written, tuple) else ()


def agents_in(workspace: str, agents: Sequence["Agent"], configured: Workspaces) -> list["Agent"]:
    """Those that judge there, in their order."""
    named = {agent.name for agent in agents if workspace in own(agent)}
    return [agent for agent in agents if _judges(agent, workspace, configured, agent.name in named)]


def _judges(agent: "Agent", workspace: str, configured: Workspaces, replaced: bool) -> bool:
    if own(agent):
        return workspace in own(agent)
    word = _word(agent, workspace, configured)
    return word == "inherited" or (word == "configurable" and not replaced)


def special(agents: Sequence["Agent"], configured: Workspaces) -> list[str]:
    """Workspaces that may have other agents than the rest."""
    named: dict[str, None] = dict.fromkeys(name for name, word in configured.items() if word != "inherited")
    for agent in agents:
        named.update(dict.fromkeys(agent.rules.workspaces))
    return list(named)


def problems(agents: Sequence["Agent"], configured: Workspaces) -> Iterator[str]:
    """What does not fit together, each line with file, `::` path and remedy."""
    for agent in agents:
        for name in own(agent):
            if not _may_have_its_own(agent, name, agents, configured):
                yield (
                    f"{agent.source}::workspaces: {name} has no agents of its own; "
                    f"configure workspaces: {{{name}: {{agents: configurable}}}}, or leave it out"
                )
            yield from _doubled(agent, name, agents, configured)


def _may_have_its_own(agent: "Agent", name: str, agents: Sequence["Agent"], configured: Workspaces) -> bool:
    replaced = (other for other in agents if other.name == agent.name and not own(other))
    return configured.get(name) == "configurable" or any(
        _word(other, name, configured) == "configurable" for other in replaced
    )


def _doubled(agent: "Agent", name: str, agents: Sequence["Agent"], configured: Workspaces) -> Iterator[str]:
    for other in agents:
        if other is agent or other.name != agent.name:
            continue
        if not own(other) and _word(other, name, configured) == "inherited":
            yield (
                f"{agent.source}::agent: {name} inherits {agent.name} of {other.source} as it is; "
                f"write workspaces: {{{name}: configurable}} there, or rename this one"
            )


def _word(agent: "Agent", workspace: str, configured: Workspaces) -> AgentsOf:
    written = agent.rules.workspaces
    word = written.get(workspace) if isinstance(written, Mapping) else None
    return word or configured.get(workspace, "inherited")
