"""Claude Code, Codex and OpenCode, side by side under one key: which exchanges are one session, and which continues which.

Once as they name their sessions, and once with all names taken out on the way, by lineage alone. Needs Node.js; without
it these tests fail, they are not skipped.
"""

import asyncio
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.e2e.coding_agents import ClaudeCode, Codex, CodingAgent, OpenCode, Place
from tests.e2e.gateway_process import Gateway
from tests.e2e.outside import Outside
from tests.e2e.relay import Relay
from tests.e2e.span_sink import SpanSink, attributes_of

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Tree = dict[str, "Tree"]
"""What the model answered, and under it the answers of the exchanges that continue this one."""


class Talk(NamedTuple):
    """What one user's runs of a CLI were to the gateway."""

    name: str
    """What the CLI called its session, each time."""
    spans: list[dict[str, Any]]
    """In the order of their requests."""
    titles: list[dict[str, Any]]
    """Of exchanges that only gave the session a title, beside the conversation."""

    @property
    def sessions(self) -> set[str]:
        return {span["session.id"] for span in self.spans}

    @property
    def tree(self) -> Tree:
        tree = self._below(None)
        assert _size(tree) == len(self.spans), f"two that answer the same continue the same one: {tree}"
        return tree

    def _below(self, parent: str | None) -> Tree:
        children = [span for span in self.spans if span.get("spangate.exchange.parent_id") == parent]
        return {_answer(span): self._below(span["spangate.exchange.id"]) for span in children}


class Talks(NamedTuple):
    """Two at the same time, with the same opening: a turn with a tool. Then they are resumed."""

    delegating: Talk
    """With a turn of a sub-agent."""
    thanking: Talk


class Agent(NamedTuple):
    cli: CodingAgent
    tool: str
    delegated: Tree
    """What becomes of the order to have a sub-agent use that tool."""
    titles: int
    """How many requests give a session its title."""


AGENTS = {
    "claude": Agent(ClaudeCode(), "Bash", {"Agent": {"Bash": {"plums": {}}, "plums": {}}}, 0),
    # It goes on while its sub-agent works, and waits by a tool.
    "codex": Agent(
        Codex(), "exec_command", {"spawn_agent": {"exec_command": {"plums": {}}, "wait_agent": {"": {}}}}, 0
    ),
    "opencode": Agent(OpenCode(), "bash", {"task": {"bash": {"plums": {}}, "plums": {}}}, 1),
}


@pytest.fixture(scope="module", params=AGENTS)
def agent(request: pytest.FixtureRequest) -> Agent:
    return AGENTS[request.param]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talks(
    agent: Agent, exporting: Gateway, sink: SpanSink, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Talks]:
    """All four at once: `named` and `nameless`."""
    await agent.cli.install()

    async def talk(outside: Outside, named: bool, *prompts: str) -> Talk:
        home, project = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("project")
        name = ""
        async with Relay(exporting.url, named=named) as relay:
            for prompt in prompts:
                told = await agent.cli.turn(Place(relay.url, home, project, outside), prompt, name)
                assert name in ("", told)
                name = told
            exchanges = [told["x-spangate-exchange"] for told in relay.told]
        spans = [attributes_of(await sink.span(exchange)) for exchange in exchanges]
        titles = [span for span in spans if span["gen_ai.request.model"] == "titles"]
        return Talk(name, [span for span in spans if span not in titles], titles)

    async with Outside() as outside:
        count = agent.cli.count
        ran = await asyncio.gather(
            talk(outside, True, count, agent.cli.delegate("window")),
            talk(outside, True, count, "Thanks"),
            talk(outside, False, count, agent.cli.delegate("door")),
            talk(outside, False, count, "Thanks"),
        )
    return {"named": Talks(*ran[:2]), "nameless": Talks(*ran[2:])}


@pytest.mark.parametrize("way", ["named", "nameless"])
async def test_each_conversation_is_one_session(talks: dict[str, Talks], way: str) -> None:
    delegating, thanking = talks[way]
    assert (len(delegating.sessions), len(thanking.sessions)) == (1, 1)
    assert delegating.sessions != thanking.sessions


@pytest.mark.parametrize("way", ["named", "nameless"])
async def test_each_exchange_hangs_on_the_one_that_it_continues(
    talks: dict[str, Talks], agent: Agent, way: str
) -> None:
    delegating, thanking = talks[way]
    assert delegating.tree == {agent.tool: {"apples": agent.delegated}}
    assert thanking.tree == {agent.tool: {"apples": {"welcome": {}}}}


async def test_a_named_session_is_what_the_cli_calls_it(talks: dict[str, Talks], agent: Agent) -> None:
    for talk in talks["named"]:
        spans = [*talk.spans, *talk.titles]
        assert {span["session.id"] for span in spans} == {talk.name}
        assert {span["spangate.session.source"] for span in spans} == {"client"}
        assert {span["spangate.session.sequence"] for span in spans} == set(range(1, len(spans) + 1))
        assert len(talk.titles) == agent.titles


async def test_without_names_all_but_the_opening_is_found_by_lineage(talks: dict[str, Talks], agent: Agent) -> None:
    for talk in talks["nameless"]:
        sources = [span["spangate.session.source"] for span in talk.spans]
        assert sources == ["new"] + ["lineage"] * (len(sources) - 1)
        assert not any("gen_ai.conversation.id" in span for span in talk.spans)
        # A request for a title has only the opening in common, which two conversations may have, too.
        assert [span["spangate.session.source"] for span in talk.titles] == ["new"] * agent.titles
        assert talk.sessions.isdisjoint(span["session.id"] for span in talk.titles)


async def test_what_a_named_sub_agent_is_told_no_user_said(talks: dict[str, Talks]) -> None:
    told = [span["spangate.participant.from"] for span in talks["named"].delegating.spans]
    assert told == ["user", "agent", "user", *["agent"] * (len(told) - 3)]


def _answer(span: dict[str, Any]) -> str:
    """The tool that it called, or what it talks about."""
    part = span["gen_ai.output.messages"][0]["parts"][-1]
    if part["type"] == "tool_call":
        return str(part["name"])
    return next((word for word in ("apples", "plums", "welcome") if word in part["content"]), "")


def _size(tree: Tree) -> int:
    return sum(1 + _size(below) for below in tree.values())
