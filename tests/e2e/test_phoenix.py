"""What real SDKs say through the gateway reaches Arize Phoenix: spans with content and tokens, sessions with their members.

Needs Phoenix in `.venv-phoenix`, which `make e2e` installs; without it these tests fail, they are not skipped.
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway
from tests.e2e.phoenix import Phoenix
from tests.e2e.readme import first_example

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

PROJECT = "spangate-e2e"
OPENAI_SESSION, ANTHROPIC_SESSION = "phoenix-openai", "phoenix-anthropic"
README_SESSION = "sky-questions"
EXCHANGES = 5
"""Two by OpenAI's SDK, two by Anthropic's, one by the README's first example."""


@dataclass
class Stored:
    """What Phoenix says after all traffic."""

    spans: list[dict[str, Any]]
    """Of exchanges."""
    tools: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    usage: dict[str, list[tuple[int, int]]]
    """Input and output tokens by session and exchange, as the SDKs were told them."""

    def of(self, session_id: str) -> list[dict[str, Any]]:
        found = [span for span in self.spans if span["attributes"].get("session.id") == session_id]
        return sorted(found, key=lambda span: str(span["start_time"]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(phoenix: Phoenix, model: BuiltinModel, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """All traffic through one gateway, then what Phoenix has of it."""
    config = {
        "exporters": {"otlp_http": {"endpoint": phoenix.url, "capture": {"messages": "full"}}},
        "service": {"pipelines": {"traces": {"exporters": ["store", "otlp_http"]}}},
    }
    environ = {"OTEL_RESOURCE_ATTRIBUTES": f"openinference.project.name={PROJECT}"}
    async with Gateway(tmp_path_factory.mktemp("gateway"), model.url, config, environ) as gateway:
        usage = {
            OPENAI_SESSION: await _talk_openai(gateway),
            ANTHROPIC_SESSION: await _talk_anthropic(gateway),
        }
        await _run_readme(gateway)
        spans = await phoenix.spans(PROJECT, EXCHANGES + 1)
    tools = [span for span in spans if span["name"].startswith("execute_tool")]
    return Stored([span for span in spans if span not in tools], tools, await phoenix.sessions(PROJECT), usage)


async def test_each_exchange_is_one_span(stored: Stored) -> None:
    assert len(stored.spans) == EXCHANGES
    assert {span["span_kind"] for span in stored.spans} == {"LLM"}
    assert len({span["context"]["trace_id"] for span in stored.spans}) == EXCHANGES


async def test_the_tool_that_ran_between_two_exchanges_is_a_span_below_the_first(stored: Stored) -> None:
    [tool] = stored.tools
    call, _ = stored.of(ANTHROPIC_SESSION)
    assert tool["context"]["trace_id"] == call["context"]["trace_id"]
    assert tool["parent_id"] == call["context"]["span_id"]


async def test_sessions_hold_their_own_exchanges_and_no_others(stored: Stored) -> None:
    traces = {session["session_id"]: {trace["trace_id"] for trace in session["traces"]} for session in stored.sessions}
    assert set(traces) == {OPENAI_SESSION, ANTHROPIC_SESSION, README_SESSION}
    for session_id in (OPENAI_SESSION, ANTHROPIC_SESSION):
        assert traces[session_id] == {span["context"]["trace_id"] for span in stored.of(session_id)}
        assert len(traces[session_id]) == 2


@pytest.mark.parametrize(
    ("session_id", "models"),
    [(OPENAI_SESSION, ["demo", "demo"]), (ANTHROPIC_SESSION, ["demo-tools", "demo-tools"])],
)
async def test_model_and_tokens_arrive_as_the_sdk_was_told(stored: Stored, session_id: str, models: list[str]) -> None:
    told = [span["attributes"] for span in stored.of(session_id)]
    assert [said["llm.model_name"] for said in told] == models
    tokens = [(said["llm.token_count.prompt"], said["llm.token_count.completion"]) for said in told]
    assert tokens == stored.usage[session_id]


async def test_messages_of_a_chat_arrive_both_ways(stored: Stored) -> None:
    first, second = (span["attributes"] for span in stored.of(OPENAI_SESSION))
    assert _messages(first, "input") == [("user", "Hello there")]
    assert [role for role, _ in _messages(second, "input")] == ["user", "assistant", "user"]
    assert _messages(second, "input")[1][1] == _messages(first, "output")[0][1]
    assert _messages(second, "output")[0][0] == "assistant"
    assert _messages(second, "output")[0][1]


async def test_tool_call_and_streamed_answer_arrive(stored: Stored) -> None:
    call, answer = (span["attributes"] for span in stored.of(ANTHROPIC_SESSION))
    assert "weather" in json.dumps([value for key, value in call.items() if key.startswith("llm.output_messages")])
    assert "17 degrees" in _messages(answer, "output")[0][1]
    assert _messages(answer, "input")[0] == ("user", "How is the weather in Porto?")


async def _talk_openai(gateway: Gateway) -> list[tuple[int, int]]:
    messages: list[Any] = []
    usage: list[tuple[int, int]] = []
    async with openai.AsyncOpenAI(
        base_url=gateway.openai_url, api_key="any", default_headers={"x-session-id": OPENAI_SESSION}
    ) as client:
        for text in ("Hello there", "What is a session?"):
            messages.append({"role": "user", "content": text})
            answer = await client.chat.completions.create(model="demo", messages=messages)
            messages.append({"role": "assistant", "content": answer.choices[0].message.content})
            assert answer.usage is not None
            usage.append((answer.usage.prompt_tokens, answer.usage.completion_tokens))
    return usage


async def _talk_anthropic(gateway: Gateway) -> list[tuple[int, int]]:
    """A tool call, then its answer streamed."""
    tools: Any = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
    async with anthropic.AsyncAnthropic(
        base_url=gateway.anthropic_url, api_key="any", default_headers={"x-session-id": ANTHROPIC_SESSION}
    ) as client:
        messages: list[Any] = [{"role": "user", "content": "How is the weather in Porto?"}]
        first = await client.messages.create(model="demo-tools", max_tokens=500, messages=messages, tools=tools)
        call = first.content[0]
        assert call.type == "tool_use"
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "17 degrees"}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        async with client.messages.stream(model="demo-tools", max_tokens=500, messages=messages, tools=tools) as stream:
            second = await stream.get_final_message()
    return [(answer.usage.input_tokens, answer.usage.output_tokens) for answer in (first, second)]


async def _run_readme(gateway: Gateway) -> None:
    """In a process of its own, as a reader would."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", first_example(gateway.url)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"OPENAI_API_KEY": "any", "ANTHROPIC_API_KEY": "any"},
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert out.strip(), "the README's first example prints nothing"


def _messages(attributes: dict[str, Any], side: str) -> list[tuple[str, str]]:
    """(role, content) of each message, as OpenInference flattens them."""
    prefix = f"llm.{side}_messages"
    found: list[tuple[str, str]] = []
    while f"{prefix}.{len(found)}.message.role" in attributes:
        message = f"{prefix}.{len(found)}.message"
        content = attributes.get(f"{message}.content") or attributes.get(f"{message}.contents.0.message_content.text")
        found.append((str(attributes[f"{message}.role"]), str(content or "")))
    return found
