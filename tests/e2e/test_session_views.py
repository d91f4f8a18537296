"""Three conversations at once: Arize Phoenix and MLflow show, in their own session views, the sessions that our store has.

One names its session, two are found by lineage. Needs the stores in `.venv-phoenix` and `.venv-mlflow`, which `make e2e`
installs; without them these tests fail, they are not skipped.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Self

import anthropic
import openai
import pytest
import pytest_asyncio

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway
from tests.e2e.mlflow import MLflow, Traced
from tests.e2e.phoenix import Phoenix, Viewed

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

PROJECT = "session-views"
NAMED, USER = "views-named", "ann"
QUESTIONS = ("Hello there", "What is a session?", "Thanks")
TURNS = len(QUESTIONS)
WEATHER: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


class Said(NamedTuple):
    """One exchange as its client knows it."""

    session: str
    trace: str
    """The OTel trace id."""
    asked: str
    answered: str
    tokens: tuple[int, int]
    """Input and output."""

    @classmethod
    def of(cls, headers: Any, asked: str, answered: str, tokens: tuple[int, int]) -> Self:
        return cls(headers["x-spangate-session"], headers["x-spangate-trace-id"], asked, answered, tokens)


class Views(NamedTuple):
    talks: list[list[Said]]
    """The one with a name; a nameless one that begins as it does; a nameless one with a tool."""
    store: dict[str, dict[str, Any]]
    """What the gateway itself has, by session."""
    phoenix: dict[str, Viewed]
    mlflow: dict[str, list[Traced]]

    @property
    def by_session(self) -> dict[str, list[Said]]:
        return {talk[0].session: talk for talk in self.talks}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def views(phoenix: Phoenix, model: BuiltinModel, tmp_path_factory: pytest.TempPathFactory) -> Views:
    async with MLflow(tmp_path_factory.mktemp("mlflow")) as mlflow:
        exporters = {
            "otlp_http/phoenix": {"endpoint": phoenix.url, "capture": {"messages": "full", "openinference": True}},
            "otlp_http/mlflow": mlflow.exporter,
        }
        pipelines = {"traces": {"exporters": ["store", *exporters]}}
        config = {"exporters": exporters, "service": {"pipelines": pipelines}}
        environ = {"OTEL_RESOURCE_ATTRIBUTES": f"openinference.project.name={PROJECT}"}
        async with Gateway(tmp_path_factory.mktemp("gateway"), model.url, config, environ) as gateway:
            talks = await _talk(gateway)
            exchanges = sum(map(len, talks))
            for talk in talks:
                await gateway.traces(talk[0].session, 2 * len(talk))
            store = {session["id"]: session for session in await gateway.sessions()}
        await phoenix.spans(PROJECT, exchanges + 1)  # A tool is a span, too.
        return Views(talks, store, await phoenix.viewed(PROJECT), await mlflow.sessions(exchanges))


async def test_each_conversation_is_one_session_of_the_store(views: Views) -> None:
    assert [len({said.session for said in talk}) for talk in views.talks] == [1, 1, 1]
    assert set(views.store) == set(views.by_session)
    assert views.talks[0][0].session == NAMED
    for session, talk in views.by_session.items():
        stored = views.store[session]
        assert (stored["exchanges"], stored["input_tokens"], stored["output_tokens"]) == (len(talk), *_sum(talk))


async def test_phoenix_shows_the_same_sessions_with_the_same_traces(views: Views) -> None:
    assert {session: shown.traces for session, shown in views.phoenix.items()} == {
        session: [said.trace for said in talk] for session, talk in views.by_session.items()
    }


async def test_phoenix_shows_their_tokens_and_how_they_begin_and_end(views: Views) -> None:
    for session, shown in views.phoenix.items():
        talk = views.by_session[session]
        assert shown.tokens == _sum(talk)
        assert shown.user == views.store[session]["user"] == (USER if session == NAMED else None)
        assert (shown.first_input, shown.last_output) == (talk[0].asked, talk[-1].answered)


async def test_mlflow_has_the_same_sessions_with_the_same_traces(views: Views) -> None:
    assert {session: [trace.id for trace in traces] for session, traces in views.mlflow.items()} == {
        session: [said.trace for said in talk] for session, talk in views.by_session.items()
    }


async def test_mlflow_shows_of_each_trace_what_was_said_and_its_tokens(views: Views) -> None:
    for session, traces in views.mlflow.items():
        for said, trace in zip(views.by_session[session], traces, strict=True):
            assert trace.tokens == said.tokens
            assert trace.user == (USER if session == NAMED else None)
            assert said.asked in _texts(trace.request)[-1]
            assert said.answered in _texts(trace.response)[-1]


async def test_the_tool_is_in_the_trace_of_the_exchange_that_called_it(views: Views) -> None:
    calling, *after = views.mlflow[views.talks[2][0].session]
    assert calling.spans == ["chat demo", "execute_tool weather"]
    assert [trace.spans for trace in after] == [["chat demo"]] * (TURNS - 1)


async def _talk(gateway: Gateway) -> list[list[Said]]:
    """One exchange of each, then the next one of each, all with the same key."""
    async with (
        openai.AsyncOpenAI(base_url=gateway.openai_url, api_key="any") as chats,
        anthropic.AsyncAnthropic(base_url=gateway.anthropic_url, api_key="any") as tools,
    ):
        talks = [
            _chat(chats, {"x-session-id": NAMED, "x-user-id": USER}),
            _chat(chats, {}),
            _ask_about_the_weather(tools),
        ]
        said: list[list[Said]] = [[] for _ in talks]
        for _ in range(TURNS):
            for so_far, talk in zip(said, talks, strict=True):
                so_far.append(await anext(talk))
        return said


async def _chat(client: openai.AsyncOpenAI, headers: dict[str, str]) -> AsyncIterator[Said]:
    messages: list[Any] = []
    for text in QUESTIONS:
        messages.append({"role": "user", "content": text})
        raw = await client.chat.completions.with_raw_response.create(
            model="demo", messages=messages, extra_headers=headers
        )
        answer = raw.parse()
        messages.append(answer.choices[0].message.model_dump(exclude_none=True))
        assert answer.usage is not None
        tokens = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
        yield Said.of(raw.headers, text, messages[-1]["content"], tokens)


async def _ask_about_the_weather(client: anthropic.AsyncAnthropic) -> AsyncIterator[Said]:
    """A call of a tool, what comes of its result, and thanks."""
    messages: list[Any] = []
    content: Any = 'Call the tool weather with {"city": "Porto"}'
    for _ in range(TURNS):
        messages.append({"role": "user", "content": content})
        raw = await client.messages.with_raw_response.create(
            model="demo", max_tokens=500, messages=messages, tools=[WEATHER]
        )
        answer = await raw.parse()
        [block] = answer.content
        messages.append({"role": "assistant", "content": [block]})
        tokens = (answer.usage.input_tokens, answer.usage.output_tokens)
        asked = content if isinstance(content, str) else content[0]["content"]
        if block.type == "tool_use":
            yield Said.of(raw.headers, asked, "Porto", tokens)
            content = [{"type": "tool_result", "tool_use_id": block.id, "content": "17 degrees"}]
        else:
            assert block.type == "text"
            yield Said.of(raw.headers, asked, block.text, tokens)
            content = "Thanks"


def _sum(talk: list[Said]) -> tuple[int, int]:
    return sum(said.tokens[0] for said in talk), sum(said.tokens[1] for said in talk)


def _texts(messages: str) -> list[str]:
    """Of each message what was said, or was given to or came of a tool."""
    parts = [message["parts"][-1] for message in json.loads(messages)]
    return [str(part.get("content") or part.get("response") or part.get("arguments")) for part in parts]
