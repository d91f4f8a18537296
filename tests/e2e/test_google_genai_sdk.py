"""The official google-genai SDK through the real gateway: it notices nothing, and the gateway notices everything."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest
import pytest_asyncio
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            parameters=types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}),
        )
    ]
)


async def client_of(url: str, **more: Any) -> AsyncIterator[genai.client.AsyncClient]:
    # With aiohttp, which the SDK prefers where it is there, it warns about itself.
    async with httpx.AsyncClient() as transport:
        options = types.HttpOptions(base_url=url, httpx_async_client=transport)
        with genai.Client(**(more or {"api_key": "any"}), http_options=options) as client:
            yield client.aio


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[genai.client.AsyncClient]:
    async for client in client_of(f"{gateway.url}/gemini"):
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def direct(model: BuiltinModel) -> AsyncIterator[genai.client.AsyncClient]:
    async for client in client_of(model.url):
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def vertex(gateway: Gateway) -> AsyncIterator[genai.client.AsyncClient]:
    token = Credentials(token="any")  # type: ignore[no-untyped-call]
    async for client in client_of(
        f"{gateway.url}/vertex", vertexai=True, project="p-1", location="europe-west1", credentials=token
    ):
        yield client


def config(session: str = "", **fields: Any) -> types.GenerateContentConfig:
    headers = {"x-session-id": session} if session else {}
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers=headers), **fields)


def said(answer: Any) -> Any:
    """Without the HTTP headers, to which the gateway adds its own."""
    return answer.model_dump(exclude={"sdk_http_response"})


async def test_answer_is_the_models(client: genai.client.AsyncClient, direct: genai.client.AsyncClient) -> None:
    relayed, told = [await each.models.generate_content(model="demo", contents="Hello") for each in (client, direct)]
    assert said(relayed) == said(told)
    assert relayed.text


async def test_stream_is_the_models_and_is_stored_as_one_answer(
    gateway: Gateway, client: genai.client.AsyncClient, direct: genai.client.AsyncClient
) -> None:
    told: list[list[Any]] = []
    for each, session in ((client, "genai-stream"), (direct, "")):
        stream = await each.models.generate_content_stream(
            model="demo-reasoning", contents="Hello", config=config(session)
        )
        told.append([said(chunk) async for chunk in stream])
    assert told[0] == told[1]
    inlet, response = await gateway.traces("genai-stream", 2)
    assert (inlet["api"], inlet["operation"]) == ("gemini_generate_content", "generate_content")
    assert (inlet["model"], inlet["stream"], response["finish_reasons"]) == ("demo-reasoning", True, ["stop"])
    assert inlet["messages"] == [{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]
    kinds = [part["type"] for part in response["messages"][0]["parts"]]
    assert kinds == ["reasoning", "text"]
    usage = told[1][-1]["usage_metadata"]
    assert response["usage"]["state"] == "reported"
    assert response["usage"]["input_tokens"] == usage["prompt_token_count"]
    spoken = usage["candidates_token_count"] + usage["thoughts_token_count"]
    assert response["usage"]["output_tokens"] == spoken


async def test_tool_loop_is_one_session_with_call_and_result(
    gateway: Gateway, client: genai.client.AsyncClient
) -> None:
    history: list[Any] = [types.Content(role="user", parts=[types.Part(text="How is the weather in Braga?")])]
    first = await client.models.generate_content(
        model="demo-tools", contents=history, config=config("genai-tools", tools=[WEATHER])
    )
    assert first.candidates is not None
    assert first.function_calls is not None
    call = first.function_calls[0]
    assert call.args == {"city": "Braga"}
    result = types.Part.from_function_response(name="weather", response={"result": "17 degrees"})
    history += [first.candidates[0].content, types.Content(role="user", parts=[result])]
    second = await client.models.generate_content(
        model="demo-tools", contents=history, config=config("genai-tools", tools=[WEATHER])
    )
    assert second.text is not None
    assert "17 degrees" in second.text
    traces = await gateway.traces("genai-tools", 4)
    assert [trace["participant"] for trace in traces if trace["direction"] == "inlet"] == ["user", "agent"]
    assert traces[1]["finish_reasons"] == ["tool_call"]
    assert traces[1]["messages"][0]["parts"][0]["arguments"] == {"city": "Braga"}
    assert traces[2]["messages"][-1]["parts"][0]["response"] == "17 degrees"


async def test_tokens_and_embeddings_are_the_models(
    gateway: Gateway, client: genai.client.AsyncClient, direct: genai.client.AsyncClient
) -> None:
    relayed, told = [await each.models.count_tokens(model="demo", contents="Hello") for each in (client, direct)]
    assert said(relayed) == said(told)
    options = types.EmbedContentConfig(http_options=types.HttpOptions(headers={"x-session-id": "genai-embed"}))
    vectors = await client.models.embed_content(model="demo", contents=["one", "two"], config=options)
    assert said(vectors) == said(await direct.models.embed_content(model="demo", contents=["one", "two"]))
    inlet, response = await gateway.traces("genai-embed", 2)
    assert [message["parts"][0]["content"] for message in inlet["messages"]] == ["one", "two"]
    assert (response["operation"], response["messages"]) == ("embeddings", [])
    assert response["usage"]["input_tokens"]


@pytest.mark.parametrize("name", ["demo-error-400", "demo-error-403", "demo-error-429", "demo-error-500"])
async def test_error_is_the_same_exception_as_direct(
    client: genai.client.AsyncClient, direct: genai.client.AsyncClient, name: str
) -> None:
    caught: list[errors.APIError] = []
    for each in (client, direct):
        with pytest.raises(errors.APIError) as raised:
            await each.models.generate_content(model=name, contents="Hello")
        caught.append(raised.value)
    relayed, told = caught
    assert type(relayed) is type(told)
    assert (relayed.code, relayed.status, relayed.details) == (told.code, told.status, told.details)


async def test_error_in_a_stream_raises_midway(client: genai.client.AsyncClient) -> None:
    stream = await client.models.generate_content_stream(model="demo-error-in-stream", contents="Hello")
    with pytest.raises(errors.ServerError):
        async for _ in stream:
            pass


async def test_enforcer_refuses_as_googles_permission_denied(
    model: BuiltinModel, gateway: Gateway, client: genai.client.AsyncClient, codeword: str
) -> None:
    before = model.count
    with pytest.raises(errors.ClientError) as refused:
        await client.models.generate_content(
            model="demo", contents=f"Tell me about {codeword}", config=config("genai-refused")
        )
    assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")
    assert codeword not in str(refused.value)
    assert model.count == before
    assert (await gateway.traces("genai-refused", 1))[0]["outcome"] == "blocked"


async def test_vertex_is_read_like_gemini(gateway: Gateway, vertex: genai.client.AsyncClient) -> None:
    stream = await vertex.models.generate_content_stream(
        model="demo", contents="Hello", config=config("genai-vertex", system_instruction="Be brief")
    )
    text = "".join([chunk.text or "" async for chunk in stream])
    inlet, response = await gateway.traces("genai-vertex", 2)
    assert (inlet["provider"], inlet["api"], inlet["model"]) == ("vertex", "gemini_generate_content", "demo")
    assert response["messages"][0]["parts"] == [{"type": "text", "content": text}]


async def test_anthropic_on_vertex_is_read_as_anthropics_messages(gateway: Gateway) -> None:
    client = anthropic.AsyncAnthropicVertex(
        base_url=f"{gateway.url}/vertex/v1", project_id="p-1", region="us-east5", access_token="any", max_retries=0
    )
    async with client:
        asked: Any = [{"role": "user", "content": "Hello"}]
        headers = {"x-session-id": "anthropic-vertex"}
        whole = await client.messages.create(model="demo", max_tokens=100, messages=asked, extra_headers=headers)
        async with client.messages.stream(
            model="demo", max_tokens=100, messages=asked, extra_headers=headers
        ) as stream:
            streamed = await stream.get_final_message()
    assert [block.to_dict()["text"] for block in whole.content] == [streamed.content[0].to_dict()["text"]]
    traces = await gateway.traces("anthropic-vertex", 4)
    assert {(trace["api"], trace["model"]) for trace in traces} == {("anthropic_vertex", "demo")}
    assert [trace["stream"] for trace in traces] == [False, False, True, True]
    assert traces[3]["usage"]["output_tokens"] == streamed.usage.output_tokens
