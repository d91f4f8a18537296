"""The real Gemini CLI through the real gateway: it finishes a turn in which it uses a tool of its own.

It sends no session of any kind, but lets its user add headers. Needs Node.js; without it these tests fail, they are not skipped.
"""

import json
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway
from tests.e2e.npm import bare, installed, run
from tests.e2e.outside import Outside
from tests.e2e.readme import agent_command
from tests.e2e.span_sink import SpanSink, attributes_of

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WITHIN_S = 120.0
"""A turn takes two seconds."""
NOTE = "The note says 17."
PROMPT = 'Call the tool read_file with {"file_path": "note.txt"}'
SAID = 'The tool read_file says: {"output":"The note says 17."}. That should answer your question.'
SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
}
"""With a key, and without news of it for anybody."""


class Turns(NamedTuple):
    direct: dict[str, Any]
    """What the CLI printed without a gateway."""
    anonymous: dict[str, Any]
    named: dict[str, Any]
    """As the README starts it: with a user's name in a header."""
    anonymous_spans: list[dict[str, Any]]
    """Of the exchanges, in order."""
    named_spans: list[dict[str, Any]]
    outside: list[str]
    """Whom the CLI asked for beside the model."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def turns(
    model: BuiltinModel, exporting: Gateway, sink: SpanSink, tmp_path_factory: pytest.TempPathFactory
) -> Turns:
    cli = await installed("gemini-cli") / "node_modules/.bin/gemini"
    project, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    (project / "note.txt").write_text(NOTE)
    (home / ".gemini").mkdir()
    (home / ".gemini/settings.json").write_text(json.dumps(SETTINGS))
    settings, _ = agent_command("gemini", exporting.url)
    relayed = {"GOOGLE_GEMINI_BASE_URL": settings["GOOGLE_GEMINI_BASE_URL"]}

    async with Outside() as outside:

        async def turn(settings: dict[str, str]) -> Any:
            trusting = {"GEMINI_API_KEY": "any", "GEMINI_CLI_TRUST_WORKSPACE": "true"}
            command = [str(cli), "--model", "demo", "--output-format", "json", "--prompt", PROMPT]
            ended = await run(command, project, bare(home, **settings, **trusting, **outside.environ), WITHIN_S)
            assert ended.code == 0, ended.errors
            return json.loads(ended.out)

        direct = await turn({"GOOGLE_GEMINI_BASE_URL": model.url})
        anonymous = await turn(relayed)
        before = [attributes_of(span) for span in await sink.spans(2)]
        named = await turn(settings)
        after = [attributes_of(span) for span in await sink.spans(4)]
        return Turns(direct, anonymous, named, before, after[2:], outside.asked)


async def test_turn_is_finished_with_what_the_tool_said(turns: Turns) -> None:
    for said in (turns.direct, turns.anonymous, turns.named):
        assert said["response"] == SAID
        assert said["stats"]["tools"]["byName"]["read_file"]["success"] == 1


async def test_model_and_usage_are_what_the_cli_counted(turns: Turns) -> None:
    for said, spans in ((turns.anonymous, turns.anonymous_spans), (turns.named, turns.named_spans)):
        assert [span["gen_ai.request.model"] for span in spans] == ["demo", "demo"]
        assert [span["gen_ai.response.model"] for span in spans] == ["demo", "demo"]
        assert [span["spangate.usage.state"] for span in spans] == ["reported", "reported"]
        counted = said["stats"]["models"]["demo"]["tokens"]
        assert counted["prompt"] == sum(span["gen_ai.usage.input_tokens"] for span in spans)
        assert counted["cached"] == sum(span["gen_ai.usage.cache_read.input_tokens"] for span in spans)
        output = counted["candidates"] + counted["thoughts"]
        assert output == sum(span["gen_ai.usage.output_tokens"] for span in spans)


async def test_messages_tool_call_and_result_are_in_the_spans(turns: Turns) -> None:
    for first, second in (turns.anonymous_spans, turns.named_spans):
        assert first["gen_ai.input.messages"][-1]["parts"][-1]["content"] == PROMPT
        assert "Gemini CLI" in first["gen_ai.system_instructions"][0]["content"]
        assert "read_file" in {tool["name"] for tool in first["gen_ai.tool.definitions"]}
        [call] = [part for part in first["gen_ai.output.messages"][0]["parts"] if part["type"] == "tool_call"]
        assert (call["name"], call["arguments"]) == ("read_file", {"file_path": "note.txt"})
        assert first["gen_ai.response.finish_reasons"] == ["tool_call"]
        [result] = second["gen_ai.input.messages"][-1]["parts"]
        assert (result["id"], result["response"]) == (call["id"], {"output": NOTE})
        assert second["gen_ai.output.messages"][0]["parts"][-1] == {"type": "text", "content": SAID}
        assert {first["spangate.end"], second["spangate.end"]} == {"finished"}
        assert {first["spangate.capture"], second["spangate.capture"]} == {"full"}


async def test_tool_is_a_span_between_the_exchanges(turns: Turns, sink: SpanSink) -> None:
    for first, second in (turns.anonymous_spans, turns.named_spans):
        tool = attributes_of(await sink.span(second["spangate.exchange.id"], Span.SPAN_KIND_INTERNAL))
        assert tool["gen_ai.tool.name"] == "read_file"
        assert tool["spangate.exchange.parent_id"] == first["spangate.exchange.id"]
        assert NOTE in tool["gen_ai.tool.call.result"]


async def test_the_turn_is_one_session_by_the_history_that_it_repeats(turns: Turns) -> None:
    for spans in (turns.anonymous_spans, turns.named_spans):
        first, second = spans
        assert (first["spangate.session.source"], second["spangate.session.source"]) == ("new", "lineage")
        assert second["spangate.exchange.parent_id"] == first["spangate.exchange.id"]
        assert first["session.id"] == second["session.id"]


async def test_a_user_is_known_and_another_conversation_is_another_session(turns: Turns, exporting: Gateway) -> None:
    first, second = turns.named_spans
    assert (first["user.id"], second["user.id"]) == ("me", "me")
    assert first["session.id"] not in {span["session.id"] for span in turns.anonymous_spans}
    traces = await exporting.traces(first["session.id"], 4)
    assert [trace["participant"] for trace in traces] == ["user", "llm", "agent", "llm"]
    assert {trace["model"] for trace in traces} == {"demo"}


async def test_nobody_but_the_model_hears_of_it(turns: Turns) -> None:
    assert turns.outside == []
