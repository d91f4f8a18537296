"""Each of OpenAI's APIs by the official SDK through the real gateway: nothing changes, and the span says what it was."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.demo.model import BuiltinModel
from tests.demo.rawhttp import post
from tests.e2e.gateway_process import Gateway
from tests.e2e.openai_calls import ASKED, CALLS, PNG, TOOL, WAV, ask, ask_in_turn
from tests.e2e.span_sink import SpanSink, attributes_of
from tests.e2e.test_bytes import content_of, end_to_end

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),  # as the SDK calls its translations
]

EACH = pytest.mark.parametrize("name", CALLS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sink() -> AsyncIterator[SpanSink]:
    async with SpanSink() as sink:
        yield sink


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    model: BuiltinModel, sink: SpanSink, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    azure = {"receivers": {"llm": {"providers": {"azure": {"base_url": model.url}}}}}
    async with Gateway(tmp_path_factory.mktemp("gateway"), model.url, sink.config | azure) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=gateway.openai_url, api_key="any", max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def direct(model: BuiltinModel) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{model.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@EACH
async def test_answer_is_the_models_and_its_span_says_so(
    sink: SpanSink, client: openai.AsyncOpenAI, direct: openai.AsyncOpenAI, name: str
) -> None:
    call = CALLS[name]
    relayed = await ask(client, call.method, call.fields)
    assert relayed.result == (await ask(direct, call.method, call.fields)).result
    span = await sink.span(relayed.exchange)
    said = attributes_of(span)
    assert span.name == call.span
    assert {key: said.get(key) for key in call.says} == call.says
    assert (said["spangate.end"], said["spangate.capture"]) == ("finished", "full")
    assert call.answers in json.dumps(said.get("gen_ai.output.messages", ""), ensure_ascii=False)


@EACH
async def test_sync_client_gets_the_same(gateway: Gateway, direct: openai.AsyncOpenAI, name: str) -> None:
    call = CALLS[name]

    def in_turn() -> list[Any]:
        with openai.OpenAI(base_url=gateway.openai_url, api_key="any", max_retries=0) as client:
            return ask_in_turn(client, call.method, call.fields)

    assert await asyncio.to_thread(in_turn) == (await ask(direct, call.method, call.fields)).result


@pytest.mark.parametrize("status", [400, 401, 429, 500])
@pytest.mark.parametrize("name", [name for name in CALLS if name != "responses-poll"])
async def test_error_is_the_same_exception_as_direct(
    sink: SpanSink, client: openai.AsyncOpenAI, direct: openai.AsyncOpenAI, name: str, status: int
) -> None:
    call = CALLS[name]
    caught: list[openai.APIStatusError] = []
    for each in (client, direct):
        with pytest.raises(openai.APIStatusError) as raised:
            await ask(each, call.method, call.fields | {"model": f"demo-error-{status}"})
        caught.append(raised.value)
    relayed, told = caught
    assert type(relayed) is type(told)
    assert (relayed.status_code, relayed.type, relayed.code, relayed.body) == (status, told.type, told.code, told.body)
    said = attributes_of(await sink.span(relayed.response.headers["x-spangate-exchange"]))
    assert said["error.type"] == relayed.type
    assert "gen_ai.output.messages" not in said


@pytest.mark.parametrize("name", [name for name in CALLS if name.endswith("-stream")])
async def test_stream_that_breaks_off_keeps_what_came(sink: SpanSink, gateway: Gateway, name: str) -> None:
    call = CALLS[name]
    async with openai.AsyncOpenAI(base_url=gateway.openai_url, api_key="any", max_retries=0) as client:
        fields = call.fields | {"model": "demo-reset-mid-stream", "extra_headers": {"x-session-id": f"cut-{name}"}}
        with pytest.raises(openai.APIConnectionError):
            await ask(client, call.method, fields)
    [trace] = (await gateway.traces(f"cut-{name}", 1))[:1]
    said = attributes_of(await sink.span(trace["exchange"]))
    assert said["spangate.capture"] == "truncated"
    assert said["spangate.end"] == "upstream_gone"


async def test_error_inside_a_responses_stream_is_an_event_and_in_the_span(
    sink: SpanSink, client: openai.AsyncOpenAI
) -> None:
    fields = {"model": "demo-error-in-stream", "input": ASKED, "stream": True}
    told = await ask(client, "responses.create", fields)
    assert told.result[-1].type == "error"
    said = attributes_of(await sink.span(told.exchange))
    assert said["error.type"] == "overloaded_error"
    assert said["gen_ai.response.finish_reasons"] == ["error"]


async def test_vectors_images_and_sound_are_in_no_span(sink: SpanSink, client: openai.AsyncOpenAI) -> None:
    for name in ("embeddings", "images", "images-edit", "speech", "transcriptions"):
        call = CALLS[name]
        span = (await sink.span((await ask(client, call.method, call.fields)).exchange)).SerializeToString()
        assert not any(bytes_ in span for bytes_ in (b"iVBORw0K", b"0.5", b"RIFF", b"\x89PNG", WAV[-16:], PNG[-16:]))


async def test_tool_loop_is_one_conversation(sink: SpanSink, client: openai.AsyncOpenAI) -> None:
    named: Any = {"client_metadata": {"session_id": "loop-1"}}  # as Codex sends it
    tools: Any = [TOOL]
    first = await client.responses.create(model="demo-tools", input=ASKED, tools=tools, extra_body=named)
    [called] = first.output
    assert called.type == "function_call"
    result = {"type": "function_call_output", "call_id": called.call_id, "output": "17 degrees"}
    history: Any = [{"role": "user", "content": ASKED}, called.model_dump(exclude_none=True), result]
    fields = {"model": "demo-tools", "input": history, "tools": tools, "extra_body": named}
    second = await ask(client, "responses.create", fields)
    assert "17 degrees" in second.result[0].output_text
    said = attributes_of(await sink.span(second.exchange))
    assert said["session.id"] == "loop-1"
    assert [message["role"] for message in said["gen_ai.input.messages"]] == ["user", "assistant", "tool"]
    assert said["gen_ai.input.messages"][2]["parts"][0]["id"] == called.call_id
    tool = await sink.span(second.exchange, Span.SPAN_KIND_INTERNAL)
    assert (tool.name, attributes_of(tool)["gen_ai.tool.call.id"]) == ("execute_tool weather", called.call_id)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_azure_names_its_deployment_in_the_path(
    sink: SpanSink, gateway: Gateway, model: BuiltinModel, stream: bool
) -> None:
    fields: Any = {"model": "demo", "messages": [{"role": "user", "content": ASKED}], "stream": stream}
    told = []
    for url in (f"{gateway.url}/azure", model.url):
        async with openai.AsyncAzureOpenAI(
            azure_endpoint=url, api_key="any", api_version="2026-01-01", max_retries=0
        ) as client:
            told.append(await ask(client, "chat.completions.create", fields))
    assert told[0].result == told[1].result
    if stream:
        assert told[0].result[0].choices == []
    span = await sink.span(told[0].exchange)
    said = attributes_of(span)
    assert (span.name, said["gen_ai.provider.name"]) == ("chat demo", "azure.ai.openai")
    assert said["url.path"] == "/openai/deployments/demo/chat/completions"
    assert said["gen_ai.response.finish_reasons"] == ["stop"]


async def test_azures_v1_path_is_openais(sink: SpanSink, gateway: Gateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/azure/openai/v1", api_key="any") as client:
        told = await ask(client, "responses.create", {"model": "demo", "input": ASKED})
    said = attributes_of(await sink.span(told.exchange))
    assert (said["openai.api.type"], said["gen_ai.request.model"]) == ("responses", "demo")


BODIES: dict[str, dict[str, Any]] = {
    "/v1/responses": {"input": "é\u2028", "tools": [TOOL]},
    "/v1/responses/compact": {"input": "é\u2028"},
    "/v1/responses/input_tokens": {"input": "é\u2028", "tools": [TOOL]},
    "/v1/completions": {"prompt": "é\u2028"},
    "/v1/embeddings": {"input": ["é\u2028"]},
    "/v1/moderations": {"input": "é\u2028"},
    "/v1/images/generations": {"prompt": "é\u2028"},
    "/v1/audio/speech": {"input": "é\u2028", "voice": "alloy", "response_format": "wav"},
    "/v1/audio/transcriptions": {"file": WAV},
    "/v1/audio/translations": {"file": WAV},
    "/v1/images/edits": {"prompt": "é", "image": PNG},
}
MODELS = [
    "demo",
    "demo-tools",
    "demo-reasoning",
    "demo-no-usage",
    "demo-zstd",
    "demo-http10",
    "demo-html",
    "demo-error-429",
    "demo-error-in-stream",
    "demo-cut-mid-body",
    "demo-no-such-model",
]
SENT = ("accept-encoding: gzip, br, zstd, deflate", "X-Odd-CASE: kept", "x-twice: 1", "x-twice: 2")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("name", MODELS)
async def test_answer_is_the_same_bytes(
    model: BuiltinModel, gateway: Gateway, name: str, path: str, stream: bool
) -> None:
    body, content_type = _body(BODIES[path] | {"model": name, "stream": stream})
    sent = (*SENT, f"content-type: {content_type}")
    direct = await post(model.url, path, body, *sent)
    sent_direct = await model.received(model.count)
    relayed = await post(gateway.url, "/openai" + path, body, *sent)
    sent_relayed = await model.received(model.count)
    assert content_of(relayed) == content_of(direct)
    assert sent_relayed.body == sent_direct.body == body
    assert end_to_end(sent_relayed) == end_to_end(sent_direct)


def _body(fields: dict[str, Any]) -> tuple[bytes, str]:
    """JSON, or a form where one of the fields is bytes."""
    if not any(isinstance(value, bytes) for value in fields.values()):
        return json.dumps(fields, ensure_ascii=False).encode(), "application/json"
    body = b""
    for name, value in fields.items():
        head = f'--cut\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, bytes):
            body += f'{head}; filename="x"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode() + value + b"\r\n"
        else:
            body += f"{head}\r\n\r\n{json.dumps(value) if value is True else value}\r\n".encode()
    return body + b"--cut--\r\n", "multipart/form-data; boundary=cut"
