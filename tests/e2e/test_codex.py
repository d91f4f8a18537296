"""The real Codex through the real gateway: over HTTP, with compressed requests, and over a WebSocket.

Each way it uses a tool of its own in a turn, and takes the thread up again in a second one. Needs Node.js; without it
these tests fail, they are not skipped.
"""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from gateway.demo.connection import Received
from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway
from tests.e2e.npm import bare, installed, run
from tests.e2e.outside import Outside
from tests.e2e.readme import agent_command
from tests.e2e.span_sink import SpanSink

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WITHIN_S = 120.0
"""A turn takes a second."""
LAUNCHER = "node_modules/@openai/codex/bin/codex.js"
QUIET = (
    "analytics.enabled=false",
    "features.plugins=false",
    "features.apps=false",
    "check_for_update_on_startup=false",
)
UNCONFINED = 'sandbox_mode="danger-full-access"'
"""All it runs is `echo`; its sandbox needs a kernel with Landlock, which not every container has."""
COUNTING = {"cmd": "echo ripe $((6 * 7)) apples"}
COUNT = f"Call the tool exec_command with {json.dumps(COUNTING)}"
WELCOME = "You are welcome. Ask again whenever something comes up."
HTTP, ZSTD, WEBSOCKET, DEFLATED = WAYS = ("http", "zstd", "websocket", "deflated websocket")
SOCKETS = (WEBSOCKET, DEFLATED)
EACH = pytest.mark.parametrize("way", WAYS)


class Run(NamedTuple):
    """One run of the CLI."""

    events: list[dict[str, Any]]
    """What it printed, without what it says of a model it does not know."""

    @property
    def thread(self) -> str:
        return str(self.events[0]["thread_id"])

    @property
    def said(self) -> str:
        [text] = [item["text"] for item in self.items("agent_message")]
        return str(text)

    @property
    def usage(self) -> dict[str, int]:
        """Of the whole thread until now."""
        assert self.events[-1]["type"] == "turn.completed", self.events
        return dict(self.events[-1]["usage"])

    def items(self, kind: str) -> list[dict[str, Any]]:
        items = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return [item for item in items if item["type"] == kind]


class Talk(NamedTuple):
    """One way to the model: a turn, and a second one of the same thread."""

    counted: Run
    resumed: Run
    sent: list[tuple[str, str | None]]
    """What reached the model: method, and how the body was compressed, or the WebSocket might be."""
    spans: list[dict[str, Any]]
    """Of the exchanges that answered, in order."""
    preparing: list[dict[str, Any]]
    """Of those that only made the model ready, in order."""
    tools: list[dict[str, Any]]


class Codex:
    """The CLI in a project; each home is another user's."""

    def __init__(self, launcher: Path, project: Path, outside: Outside) -> None:
        self._launcher = launcher
        self._project = project
        self._outside = outside

    async def run(self, home: Path, settings: list[str], *command: str, code: int = 0) -> Run:
        """`command`: what follows `codex exec`; the last word is the prompt."""
        keys = {} if (home / ".codex/auth.json").exists() else {"CODEX_API_KEY": "any"}
        options = [word for setting in ("model=demo", UNCONFINED, *QUIET) for word in ("-c", setting)]
        words = [str(self._launcher), "exec", *command[:-1], "--skip-git-repo-check", "--json", *options, *settings]
        environ = bare(home, **keys, **self._outside.environ)
        ended = await run(["node", *words, command[-1]], self._project, environ, WITHIN_S)
        assert ended.code == code, ended.errors + ended.out
        events = [json.loads(line) for line in ended.out.splitlines()]
        return Run([event for event in events if event.get("item", {}).get("type") != "error"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside() -> AsyncIterator[Outside]:
    async with Outside() as outside:
        yield outside


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def codex(outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Codex:
    return Codex(await installed("codex") / LAUNCHER, tmp_path_factory.mktemp("project"), outside)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def observing(
    model: BuiltinModel, sink: SpanSink, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """Without an enforcer, so that it lets WebSockets be compressed."""
    async with Gateway(tmp_path_factory.mktemp("observing"), model.url, sink.config) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talks(
    codex: Codex,
    model: BuiltinModel,
    exporting: Gateway,
    observing: Gateway,
    sink: SpanSink,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Talk]:
    """By way."""

    async def talk(way: str) -> Talk:
        gateway = observing if way == DEFLATED else exporting
        home = tmp_path_factory.mktemp("home")
        settings = _settings(way, gateway, home)
        before = model.count
        counted = await codex.run(home, settings, COUNT)
        resumed = await codex.run(home, settings, "resume", "--last", "Thanks")
        sent = list(model.requests)[before:]
        spans = await sink.of_session(counted.thread, 5 if way in SOCKETS else 3)
        return Talk(
            counted,
            resumed,
            [_form(request) for request in sent if "/responses" in request.target],
            [span for span in spans if "spangate.request.generate" not in span],
            [span for span in spans if "spangate.request.generate" in span],
            await sink.of_session(counted.thread, 1, tools=True),
        )

    return {way: await talk(way) for way in WAYS}


def _form(request: Received) -> tuple[str, str | None]:
    return request.method, request.header("content-encoding") or request.header("sec-websocket-extensions")


def _settings(way: str, gateway: Gateway, home: Path) -> list[str]:
    """Codex's own provider speaks over a WebSocket; requests are compressed for those who log in with ChatGPT."""
    if way in SOCKETS:
        return agent_command("codex", gateway.url)[1]
    if way == HTTP:
        return _own_provider(gateway, env_key="CODEX_API_KEY")
    _log_in(home)
    elsewhere = f'chatgpt_base_url="{gateway.url}/nowhere"'
    return [*_own_provider(gateway, name="OpenAI", requires_openai_auth=True), "-c", elsewhere]


def _own_provider(gateway: Gateway, **more: str | int | bool) -> list[str]:
    provider = {"name": "Gateway", "base_url": gateway.openai_url, "wire_api": "responses"} | more
    written = ", ".join(f"{name} = {json.dumps(value)}" for name, value in provider.items())
    return ["-c", 'model_provider="gateway"', "-c", f"model_providers.gateway={{{written}}}"]


def _log_in(home: Path) -> None:
    """As somebody whom no ChatGPT knows, until 2100: nothing to be refreshed."""
    account = {"chatgpt_account_id": "acc", "chatgpt_user_id": "usr", "chatgpt_plan_type": "pro"}
    claims = {"email": "nobody@example.com", "exp": 4102444800, "https://api.openai.com/auth": account}
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"unsigned"])
    tokens = {"id_token": token, "access_token": token, "refresh_token": "none", "account_id": "acc"}
    (home / ".codex").mkdir()
    login = {"auth_mode": "chatgpt", "tokens": tokens, "last_refresh": "2099-01-01T00:00:00Z"}
    (home / ".codex/auth.json").write_text(json.dumps(login))


@EACH
async def test_turns_are_finished_with_what_the_tool_said(talks: dict[str, Talk], way: str) -> None:
    talk = talks[way]
    [command] = talk.counted.items("command_execution")
    assert (command["status"], command["aggregated_output"]) == ("completed", "ripe 42 apples\n")
    assert "ripe 42 apples. That should answer your question." in talk.counted.said
    assert talk.resumed.said == WELCOME


async def test_requests_came_each_way_as_they_were_to_come(talks: dict[str, Talk]) -> None:
    sent = {way: talk.sent for way, talk in talks.items()}
    assert sent == {
        HTTP: [("POST", None)] * 3,
        ZSTD: [("POST", "zstd")] * 3,
        WEBSOCKET: [("GET", None)] * 2,
        DEFLATED: [("GET", "permessage-deflate; client_max_window_bits")] * 2,
    }


async def test_nobody_else_is_asked(talks: dict[str, Talk], outside: Outside) -> None:
    assert outside.asked == []


@EACH
async def test_session_is_the_thread_that_the_cli_prints_also_where_it_is_resumed(
    talks: dict[str, Talk], way: str
) -> None:
    talk = talks[way]
    assert talk.resumed.thread == talk.counted.thread
    spans = talk.spans + talk.preparing
    assert {span["gen_ai.conversation.id"] for span in spans} == {talk.counted.thread}
    assert {span["spangate.session.source"] for span in spans} == {"client"}
    assert {span["spangate.session.sequence"] for span in spans} == set(range(1, len(spans) + 1))


@EACH
async def test_model_and_usage_are_what_the_cli_counted(talks: dict[str, Talk], way: str) -> None:
    talk = talks[way]
    for span in talk.spans:
        assert (span["gen_ai.request.model"], span["gen_ai.response.model"]) == ("demo", "demo")
        assert (span["spangate.usage.state"], span["spangate.end"]) == ("reported", "finished")
        assert (span["spangate.capture"], span["url.path"]) == ("full", "/v1/responses")
    for field, attribute in (
        ("input_tokens", "gen_ai.usage.input_tokens"),
        ("cached_input_tokens", "gen_ai.usage.cache_read.input_tokens"),
        ("output_tokens", "gen_ai.usage.output_tokens"),
    ):
        tokens = [span[attribute] for span in talk.spans]
        assert talk.counted.usage[field] == sum(tokens[:2])
        assert talk.resumed.usage[field] == sum(tokens) > 0


@EACH
async def test_messages_tool_call_and_result_are_in_the_spans(talks: dict[str, Talk], way: str) -> None:
    talk = talks[way]
    first, second, third = talk.spans
    assert first["gen_ai.input.messages"][-1] == {"role": "user", "parts": [{"type": "text", "content": COUNT}]}
    assert "exec_command" in {tool.get("name") for tool in first["gen_ai.tool.definitions"]}
    [call] = first["gen_ai.output.messages"][0]["parts"]
    assert (call["type"], call["name"], call["arguments"]) == ("tool_call", "exec_command", COUNTING)
    assert first["gen_ai.response.finish_reasons"] == ["tool_call"]
    result = second["gen_ai.input.messages"][-1]
    assert (result["role"], result["parts"][0]["id"]) == ("tool", call["id"])
    assert result["parts"][0]["response"].endswith("ripe 42 apples\n")
    assert second["gen_ai.output.messages"][0]["parts"] == [{"type": "text", "content": talk.counted.said}]
    assert third["gen_ai.input.messages"][-1]["parts"] == [{"type": "text", "content": "Thanks"}]
    assert third["gen_ai.output.messages"][0]["parts"] == [{"type": "text", "content": WELCOME}]
    assert [span["spangate.event.type"] for span in talk.spans] == ["user_llm", "agent_llm", "user_llm"]


@EACH
async def test_the_tool_is_a_span_below_the_exchange_that_called_it(talks: dict[str, Talk], way: str) -> None:
    talk = talks[way]
    [tool] = talk.tools
    assert tool["gen_ai.tool.name"] == "exec_command"
    assert tool["spangate.exchange.parent_id"] == talk.spans[0]["spangate.exchange.id"]
    assert tool["spangate.exchange.id"] == talk.spans[1]["spangate.exchange.id"]
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == COUNTING
    assert "ripe 42 apples" in tool["gen_ai.tool.call.result"]


@pytest.mark.parametrize("way", SOCKETS)
async def test_over_a_websocket_the_model_is_made_ready_first_and_then_told_what_is_new(
    talks: dict[str, Talk], way: str
) -> None:
    talk = talks[way]
    assert len(talk.preparing) == 2
    for preparing, turn in zip(talk.preparing, (talk.spans[0], talk.spans[2]), strict=True):
        assert preparing["spangate.request.generate"] is False
        assert "gen_ai.output.messages" not in preparing
        assert preparing["gen_ai.usage.input_tokens"] > 1000
        assert preparing["gen_ai.usage.output_tokens"] == 0
        assert turn["gen_ai.request.previous_response.id"] == preparing["gen_ai.response.id"]
        assert turn["spangate.exchange.parent_id"] == preparing["spangate.exchange.id"]
    first, second, _ = talk.spans
    assert second["gen_ai.request.previous_response.id"] == first["gen_ai.response.id"]
    assert [message["role"] for message in second["gen_ai.input.messages"]] == ["tool"]
    assert [talks[way].preparing for way in (HTTP, ZSTD)] == [[], []]


@EACH
async def test_store_has_the_session(talks: dict[str, Talk], exporting: Gateway, observing: Gateway, way: str) -> None:
    talk = talks[way]
    gateway = observing if way == DEFLATED else exporting
    traces = await gateway.traces(talk.counted.thread, 10 if way in SOCKETS else 6)
    assert {trace["model"] for trace in traces} == {"demo"}
    shown = await gateway.cli("sessions", "show", talk.counted.thread)
    [called] = [each["preview"] for each in await gateway.sessions() if each["id"] == talk.counted.thread]
    assert called == COUNT
    assert talk.counted.said[:40] in shown
    assert WELCOME in shown


@pytest.mark.parametrize("websocket", [False, True])
async def test_a_refusal_is_shown_to_the_user_and_does_not_reach_the_model(
    codex: Codex,
    exporting: Gateway,
    model: BuiltinModel,
    sink: SpanSink,
    codeword: str,
    tmp_path_factory: pytest.TempPathFactory,
    websocket: bool,
) -> None:
    before = model.count
    settings = _own_provider(exporting, supports_websockets=websocket, stream_max_retries=0, env_key="CODEX_API_KEY")
    told = await codex.run(tmp_path_factory.mktemp("home"), settings, f"Tell me about {codeword}", code=1)
    failed = told.events[-1]
    assert failed["type"] == "turn.failed"
    assert "codeword-guard" in failed["error"]["message"]
    assert "This project is not for models." in failed["error"]["message"]
    spans = await sink.of_session(told.thread, 2 if websocket else 1)
    refused = [span for span in spans if "spangate.request.generate" not in span]
    assert {(span["spangate.outcome"], span["spangate.end"]) for span in refused} == {("blocked", "blocked")}
    assert [request.method for request in list(model.requests)[before:]] == ["GET"] * websocket


async def test_an_upstream_without_websockets_makes_it_speak_http(
    codex: Codex, sink: SpanSink, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, home = tmp_path_factory.mktemp("gateway"), tmp_path_factory.mktemp("home")
    async with BuiltinModel(websockets=False) as model, Gateway(folder, model.url, sink.config) as gateway:
        told = await codex.run(home, _settings(WEBSOCKET, gateway, home), "Thanks")
        assert told.said == WELCOME
        refused, answered = await sink.of_session(told.thread, 2)
        assert [request.method for request in model.requests] == ["GET", "POST"]
    assert (refused["http.response.status_code"], refused["spangate.end"]) == (426, "upstream_error")
    assert (answered["spangate.end"], answered["spangate.session.sequence"]) == ("finished", 2)
    assert answered["gen_ai.output.messages"][0]["parts"] == [{"type": "text", "content": WELCOME}]
