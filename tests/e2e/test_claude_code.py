"""The real Claude Code through the real gateway: a turn with a tool of its own, one more, and one with a sub-agent.

Needs Node.js; without it these tests fail, they are not skipped.
"""

import json
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway
from tests.e2e.npm import bare, installed, run
from tests.e2e.outside import Outside
from tests.e2e.readme import agent_command
from tests.e2e.span_sink import SpanSink

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WITHIN_S = 120.0
"""A turn takes a second."""
LAUNCHER = "node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs"
"""Needs no script of the package's to have run at its installation, which npm may not do."""
MODEL = "claude-opus-4-8"
OPTIONS = ("--model", MODEL, "--output-format", "json", "--allowedTools", "Bash", "Agent")
COUNTING = {"command": "echo ripe $((6 * 7)) apples", "description": "Count the apples"}
PICKING = {"command": "echo ripe $((5 * 5)) plums", "description": "Count the plums"}
COUNT = f"Call the tool Bash with {json.dumps(COUNTING)}"
DELEGATION = {
    "description": "Count the plums",
    "subagent_type": "general-purpose",
    "prompt": f"Call the tool Bash with {json.dumps(PICKING)}",
}
COUNTED = "The tool says: ripe 42 apples. That should answer your question."
PICKED = "The tool says: ripe 25 plums. That should answer your question."


class Turn(NamedTuple):
    """One run of the CLI."""

    told: dict[str, Any]
    """What it printed."""
    agents: list[str | None]
    """Of each request that reached the model: which sub-agent it says to come from."""
    spans: list[dict[str, Any]]
    """Of its exchanges, in order."""


class Turns(NamedTuple):
    direct: dict[str, Any]
    """What the CLI printed without a gateway."""
    counted: Turn
    continued: Turn
    delegated: Turn
    """A sub-agent counts."""
    refused: dict[str, Any]
    """What the CLI printed where the gateway's enforcer blocked its request, which did not reach the model."""
    tools: list[dict[str, Any]]
    """Spans of the tools, in order."""
    outside: list[str]
    """Whom the CLI asked for beside the model."""

    @property
    def relayed(self) -> tuple[Turn, Turn, Turn]:
        return self.counted, self.continued, self.delegated


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def turns(
    model: BuiltinModel, exporting: Gateway, sink: SpanSink, codeword: str, tmp_path_factory: pytest.TempPathFactory
) -> Turns:
    launcher = await installed("claude-code") / LAUNCHER
    project, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    relayed, _ = agent_command("claude", exporting.url)
    kept: list[dict[str, Any]] = []

    async with Outside() as outside:

        async def printed(settings: dict[str, str], *arguments: str, code: int = 0) -> dict[str, Any]:
            quiet = {"IS_SANDBOX": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", **outside.environ}
            environ = bare(home, ANTHROPIC_API_KEY="any", **settings, **quiet)
            ended = await run(["node", str(launcher), "-p", *arguments, *OPTIONS], project, environ, WITHIN_S)
            assert ended.code == code, ended.errors + ended.out
            told: dict[str, Any] = json.loads(ended.out)
            return told

        async def turn(*arguments: str) -> Turn:
            before = model.count
            told = await printed(relayed, *arguments)
            sent = list(model.requests)[before:]
            spans = (await sink.of_session(told["session_id"], len(kept) + len(sent)))[len(kept) :]
            kept.extend(spans)
            return Turn(told, [request.header("x-claude-code-agent-id") for request in sent], spans)

        direct = await printed({"ANTHROPIC_BASE_URL": model.url}, COUNT)
        counted = await turn(COUNT)
        continued = await turn("--continue", "Thanks")
        delegated = await turn("--continue", f"Call the tool Agent with {json.dumps(DELEGATION)}")
        before = model.count
        refused = await printed(relayed, f"Tell me about {codeword}", code=1)
        assert model.count == before
        tools = await sink.of_session(counted.told["session_id"], 3, tools=True)
        return Turns(direct, counted, continued, delegated, refused, tools, outside.asked)


async def test_turns_are_finished_with_what_the_tool_said(turns: Turns) -> None:
    assert turns.counted.told["result"] == turns.direct["result"] == COUNTED
    assert turns.continued.told["result"] == "You are welcome. Ask again whenever something comes up."
    assert turns.delegated.told["result"].startswith(f"The tool says: {PICKED}")
    assert [len(turn.spans) for turn in turns.relayed] == [2, 1, 4]
    for turn in turns.relayed:
        assert (turn.told["is_error"], turn.told["permission_denials"]) == (False, [])


async def test_nobody_else_is_asked(turns: Turns) -> None:
    assert turns.outside == []


async def test_session_is_the_one_that_the_cli_prints_also_where_it_is_continued(turns: Turns) -> None:
    [session] = {turn.told["session_id"] for turn in turns.relayed}
    spans = [span for turn in turns.relayed for span in turn.spans]
    assert {span["gen_ai.conversation.id"] for span in spans} == {session}
    assert {span["spangate.session.source"] for span in spans} == {"client"}
    assert [span["spangate.session.sequence"] for span in spans] == [1, 2, 3, 4, 5, 6, 7]
    assert turns.direct["session_id"] != session


async def test_model_and_usage_are_what_the_cli_counted(turns: Turns) -> None:
    for turn in turns.relayed:
        for span in turn.spans:
            assert (span["gen_ai.request.model"], span["gen_ai.response.model"]) == (MODEL, MODEL)
            assert (span["spangate.usage.state"], span["spangate.end"]) == ("reported", "finished")
        counted = list(turn.told["modelUsage"].values())
        for field, attribute in (
            ("outputTokens", "gen_ai.usage.output_tokens"),
            ("cacheReadInputTokens", "gen_ai.usage.cache_read.input_tokens"),
            ("cacheCreationInputTokens", "gen_ai.usage.cache_creation.input_tokens"),
        ):
            assert sum(model[field] for model in counted) == sum(span[attribute] for span in turn.spans)
        read = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
        total = sum(span["gen_ai.usage.input_tokens"] for span in turn.spans)
        assert sum(model[field] for model in counted for field in read) == total > 1000


async def test_messages_tool_call_and_result_are_in_the_spans(turns: Turns) -> None:
    first, second = turns.counted.spans
    prompt, reminders = first["gen_ai.input.messages"]
    assert (prompt["role"], prompt["parts"][-1]) == ("user", {"type": "text", "content": COUNT})
    assert reminders["role"] == "system"
    assert "Claude" in first["gen_ai.system_instructions"][1]["content"]
    assert {"Agent", "Bash", "Read"} <= {tool["name"] for tool in first["gen_ai.tool.definitions"]}
    call = first["gen_ai.output.messages"][0]["parts"][-1]
    assert (call["type"], call["name"], call["arguments"]) == ("tool_call", "Bash", COUNTING)
    assert first["gen_ai.response.finish_reasons"] == ["tool_call"]
    assert second["gen_ai.input.messages"][:2] == first["gen_ai.input.messages"]
    result = second["gen_ai.input.messages"][-1]
    assert result["role"] == "tool"
    assert (result["parts"][0]["id"], result["parts"][0]["response"]) == (call["id"], "ripe 42 apples")
    assert second["gen_ai.output.messages"][0]["parts"][-1] == {"type": "text", "content": COUNTED}
    assert second["gen_ai.response.finish_reasons"] == ["stop"]
    assert {first["spangate.capture"], second["spangate.capture"]} == {"full"}


async def test_tools_are_spans_below_the_exchanges_that_called_them(turns: Turns) -> None:
    calling, resulting = turns.counted.spans
    delegating, starting, ending, last = turns.delegated.spans
    told = [(tool["gen_ai.tool.name"], tool["spangate.exchange.parent_id"]) for tool in turns.tools]
    assert told == [
        ("Bash", calling["spangate.exchange.id"]),
        ("Agent", delegating["spangate.exchange.id"]),
        ("Bash", starting["spangate.exchange.id"]),
    ]
    assert [tool["spangate.exchange.id"] for tool in turns.tools] == [
        exchange["spangate.exchange.id"] for exchange in (resulting, last, ending)
    ]
    assert json.loads(turns.tools[0]["gen_ai.tool.call.arguments"]) == COUNTING
    assert json.loads(turns.tools[0]["gen_ai.tool.call.result"]) == "ripe 42 apples"
    assert PICKED in turns.tools[1]["gen_ai.tool.call.result"]


async def test_a_sub_agents_exchanges_are_in_the_session(turns: Turns) -> None:
    delegated = turns.delegated
    main, agent = delegated.agents[0], delegated.agents[1]
    assert main is None
    assert agent is not None
    assert delegated.agents == [None, agent, agent, None]
    assert agent in turns.tools[1]["gen_ai.tool.call.result"]
    asked = [span["gen_ai.input.messages"][0]["parts"][-1]["content"] for span in delegated.spans]
    assert asked == [COUNT, DELEGATION["prompt"], DELEGATION["prompt"], COUNT]
    assert delegated.spans[2]["gen_ai.output.messages"][0]["parts"][-1]["content"] == PICKED


async def test_a_refusal_is_shown_to_the_user(turns: Turns, sink: SpanSink) -> None:
    assert (turns.refused["is_error"], turns.refused["api_error_status"]) == (True, 403)
    assert "codeword-guard" in turns.refused["result"]
    assert "This project is not for models." in turns.refused["result"]
    [span] = await sink.of_session(turns.refused["session_id"], 1)
    assert (span["spangate.outcome"], span["spangate.end"]) == ("blocked", "blocked")


async def test_store_has_the_session(turns: Turns, exporting: Gateway) -> None:
    session = turns.counted.told["session_id"]
    traces = await exporting.traces(session, 14)
    assert {trace["model"] for trace in traces} == {MODEL}
    shown = await exporting.cli("sessions", "show", session)
    [called] = [each["preview"] for each in await exporting.sessions() if each["id"] == session]
    assert called == COUNT
    assert COUNTED in shown
    assert PICKED in shown
    asking = [trace["participant"] for trace in traces if trace["direction"] == "inlet"]
    assert asking == ["user", "agent", "user", "user", "agent", "agent", "agent"]
