"""The real OpenCode through the real gateway, by each API it speaks: a turn in which it uses a tool of its own.

Needs Node.js; without it these tests fail, they are not skipped.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.gateway_process import Gateway
from tests.e2e.npm import bare, installed, run
from tests.e2e.outside import Outside
from tests.e2e.readme import agent_command
from tests.e2e.span_sink import SpanSink, attributes_of

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WITHIN_S = 120.0
"""A turn takes two or three seconds."""
NOTE = "The note says 17."
PROMPT = 'Call the tool read with {"filePath":"note.txt"}'
APIS = {
    "openai_chat": ("gateway", "@ai-sdk/openai-compatible", "/openai/v1"),
    "openai_responses": ("gateway", "@ai-sdk/openai", "/openai/v1"),
    "gemini_generate_content": ("gateway", "@ai-sdk/google", "/gemini/v1beta"),
    "anthropic_messages": ("anthropic", "", ""),
}
"""The provider's name and package, and what stands behind the gateway's URL. Anthropic's is as the README has it."""
EXCHANGES = 3 * len(APIS) + 2
"""Two a turn, and one that gives a new session its title."""
EACH = pytest.mark.parametrize("api", APIS)
# `npm_config_offline`: it would fetch what plugins may need.
QUIET = {f"OPENCODE_DISABLE_{what}": "1" for what in ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "SHARE")}
QUIET |= {"OPENCODE_DISABLE_DEFAULT_PLUGINS": "1", "npm_config_offline": "true"}


class Turn(NamedTuple):
    session: str
    """What OpenCode calls it."""
    parts: list[dict[str, Any]]
    """What happened, by OpenCode's own account."""

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [part for part in self.parts if part["type"] == kind]


class Turns(NamedTuple):
    of: dict[str, list[Turn]]
    """By API; with the first of them a second turn in the same session."""
    outside: list[str]
    """Whom it asked for beside the model."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ran(exporting: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Turns:
    opencode = await program()
    project = tmp_path_factory.mktemp("project")
    (project / "note.txt").write_text(NOTE)
    homes = {api: tmp_path_factory.mktemp("home") for api in APIS}

    async with Outside() as outside:

        async def turn(api: str, *arguments: str) -> Turn:
            settings = json.dumps(config(api, exporting.url))
            environ = bare(homes[api], OPENCODE_CONFIG_CONTENT=settings, **QUIET, **outside.environ)
            # A word an argument: OpenCode puts those with spaces in quotes.
            command = ["run", "--format", "json", *arguments, *PROMPT.split(" ")]
            ended = await run([str(opencode), *command], project, environ, WITHIN_S)
            assert ended.code == 0, ended.errors
            events = [json.loads(line) for line in ended.out.splitlines()]
            [session] = {event["sessionID"] for event in events}
            return Turn(session, [event["part"] for event in events])

        made = {api: [await turn(api)] for api in APIS}
        first = next(iter(APIS))
        made[first].append(await turn(first, "--session", made[first][0].session))
        return Turns(made, outside.asked)


@pytest.fixture(scope="module")
def turns(ran: Turns) -> dict[str, list[Turn]]:
    return ran.of


@EACH
async def test_turn_is_finished_with_what_the_tool_said(turns: dict[str, list[Turn]], api: str) -> None:
    for turn in turns[api]:
        [tool] = turn.of("tool")
        assert (tool["tool"], tool["state"]["status"]) == ("read", "completed")
        assert tool["state"]["input"] == {"filePath": "note.txt"}
        [text] = turn.of("text")
        assert NOTE in text["text"]


@EACH
async def test_exchanges_are_in_the_session_that_opencode_names(
    turns: dict[str, list[Turn]], sink: SpanSink, api: str
) -> None:
    [session] = {turn.session for turn in turns[api]}
    assert session.startswith("ses_")
    spans = await exchanges(sink, session)
    assert len(spans) == 2 * len(turns[api]) + 1
    assert {span["spangate.session.source"] for span in spans} == {"client"}
    assert {span["gen_ai.conversation.id"] for span in spans} == {session}
    assert sorted(span["spangate.session.sequence"] for span in spans) == list(range(1, len(spans) + 1))


@EACH
async def test_model_and_usage_are_what_opencode_counted(
    turns: dict[str, list[Turn]], sink: SpanSink, api: str
) -> None:
    counted = [step["tokens"] for turn in turns[api] for step in turn.of("step-finish")]
    spans = await exchanges(sink, turns[api][0].session, "demo")
    assert len(spans) == len(counted) == 2 * len(turns[api])
    for span, tokens in zip(spans, counted, strict=True):
        assert (span["gen_ai.request.model"], span["gen_ai.response.model"]) == ("demo", "demo")
        assert span["spangate.usage.state"] == "reported"
        cached = tokens["cache"]["read"] + tokens["cache"]["write"]
        assert span["gen_ai.usage.input_tokens"] == tokens["input"] + cached
        assert span["gen_ai.usage.output_tokens"] == tokens["output"] + tokens["reasoning"]


@EACH
async def test_messages_tool_call_and_result_are_in_the_spans(
    turns: dict[str, list[Turn]], sink: SpanSink, api: str
) -> None:
    turn = turns[api][0]
    first, second, *_ = await exchanges(sink, turn.session, "demo")
    assert first["gen_ai.input.messages"][-1]["parts"] == [{"type": "text", "content": PROMPT}]
    assert "read" in {definition["name"] for definition in first["gen_ai.tool.definitions"]}
    [call] = [part for part in first["gen_ai.output.messages"][0]["parts"] if part["type"] == "tool_call"]
    assert (call["name"], call["arguments"]) == ("read", {"filePath": "note.txt"})
    assert first["gen_ai.response.finish_reasons"] == ["tool_call"]
    [result] = second["gen_ai.input.messages"][-1]["parts"]
    if api == "gemini_generate_content":  # Its provider for Gemini leaves ids out: the tool's name stands there.
        assert (result["id"], result["response"]["content"]) == ("read", turn.of("tool")[0]["state"]["output"])
    else:
        assert (result["id"], result["response"]) == (call["id"], turn.of("tool")[0]["state"]["output"])
    assert second["gen_ai.output.messages"][0]["parts"][-1]["content"] == turn.of("text")[0]["text"]
    assert {first["spangate.end"], second["spangate.end"]} == {"finished"}
    assert {first["spangate.capture"], second["spangate.capture"]} == {"full"}


@EACH
async def test_tool_is_a_span_between_the_exchanges(turns: dict[str, list[Turn]], sink: SpanSink, api: str) -> None:
    first, second, *_ = await exchanges(sink, turns[api][0].session, "demo")
    tool = attributes_of(await sink.span(second["spangate.exchange.id"], Span.SPAN_KIND_INTERNAL))
    assert (tool["gen_ai.tool.name"], tool["session.id"]) == ("read", turns[api][0].session)
    assert tool["spangate.exchange.parent_id"] == first["spangate.exchange.id"]
    assert NOTE in tool["gen_ai.tool.call.result"]


@EACH
async def test_console_lists_the_session_with_its_exchanges(
    turns: dict[str, list[Turn]], exporting: Gateway, api: str
) -> None:
    count = len(turns[api])
    traces = await exporting.traces(turns[api][0].session, 4 * count + 2)
    assert {trace["api"] for trace in traces} == {api}
    asked = [trace for trace in traces if trace["direction"] == "inlet" and trace["model"] == "demo"]
    assert [trace["participant"] for trace in asked] == ["user", "agent"] * count
    assert [trace["model"] for trace in traces].count("titles") == 2


async def test_nobody_but_the_model_hears_of_it(ran: Turns) -> None:
    assert ran.outside == []


async def program() -> Path:
    package = await installed("opencode") / "node_modules/opencode-ai"
    # npm may have left its script out, which puts this platform's program into its place.
    ended = await run(["node", "postinstall.mjs"], package, os.environ, WITHIN_S)
    assert ended.code == 0, ended.errors
    return package / "bin/opencode.exe"


async def exchanges(sink: SpanSink, session: str, model: str = "") -> list[dict[str, Any]]:
    """The spans of the session's exchanges in order, of one model or all."""
    spans = [attributes_of(span) for span in await sink.spans(EXCHANGES)]
    return [span for span in spans if span["session.id"] == session and model in ("", span["gen_ai.request.model"])]


def config(api: str, url: str) -> dict[str, Any]:
    name, package, path = APIS[api]
    if package:
        provider: dict[str, Any] = {"npm": package, "name": "Gateway", "options": {"baseURL": url + path}}
    else:
        settings, _ = agent_command("opencode", url)
        provider = json.loads(settings["OPENCODE_CONFIG_CONTENT"])["provider"][name]
    provider["options"]["apiKey"] = "any"
    provider["models"] = {"demo": {"name": "Demo"}, "titles": {"name": "Titles"}}
    return {"model": f"{name}/demo", "small_model": f"{name}/titles", "provider": {name: provider}}
