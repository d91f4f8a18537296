"""Google's, Ollama's, Cohere's and Mistral's own SDKs raise their exceptions for our refusals, also inside a stream."""

import json
from typing import Any

import cohere
import httpx
import ollama
import pytest
from aiohttp.test_utils import TestServer
from cohere.core.api_error import ApiError
from google import genai
from google.genai import errors, types
from mistralai.client import Mistral
from mistralai.client.errors import MistralError

from gateway.model.exchange import Refusal
from gateway.providers.cohere_chat import CohereChat
from gateway.providers.gemini_generate import GeminiGenerate
from gateway.providers.json_array import JsonArrayDecoder
from gateway.providers.ollama_chat import OllamaChat
from gateway.providers.openai_chat import OpenAIChat
from tests.providers.test_refusals import answering

BLOCKED = Refusal(403, "blocked_by_policy", "data-protector: remove the “secret” and try again.")
STATUSES = {
    400: ("INVALID_ARGUMENT", errors.ClientError, cohere.BadRequestError),
    401: ("UNAUTHENTICATED", errors.ClientError, cohere.UnauthorizedError),
    403: ("PERMISSION_DENIED", errors.ClientError, cohere.ForbiddenError),
    404: ("NOT_FOUND", errors.ClientError, cohere.NotFoundError),
    410: ("FAILED_PRECONDITION", errors.ClientError, ApiError),
    413: ("INVALID_ARGUMENT", errors.ClientError, ApiError),
    429: ("RESOURCE_EXHAUSTED", errors.ClientError, cohere.TooManyRequestsError),
    502: ("UNAVAILABLE", errors.ServerError, ApiError),
    503: ("UNAVAILABLE", errors.ServerError, cohere.ServiceUnavailableError),
    504: ("DEADLINE_EXCEEDED", errors.ServerError, cohere.GatewayTimeoutError),
}
ASKED: Any = [{"role": "user", "content": "hi"}]


def google(url: str, transport: httpx.AsyncClient) -> genai.Client:
    return genai.Client(
        api_key="k", http_options=types.HttpOptions(base_url=url, httpx_async_client=transport, timeout=60_000)
    )


@pytest.mark.parametrize("status", STATUSES)
async def test_a_refusal_raises_what_its_status_means(status: int) -> None:
    name, google_error, cohere_error = STATUSES[status]
    refusal = Refusal(status, "our_code", "why")
    async with (
        TestServer(answering(status, GeminiGenerate().refusal(refusal), "application/json")) as server,
        httpx.AsyncClient() as transport,
    ):
        with google(str(server.make_url("/")), transport) as client, pytest.raises(google_error) as raised:
            await client.aio.models.generate_content(model="m", contents="hi")
    assert (raised.value.code, raised.value.status, raised.value.message) == (status, name, "why")
    assert raised.value.details["error"]["details"][0]["reason"] == "our_code"
    async with (
        TestServer(answering(status, CohereChat().refusal(refusal), "application/json")) as server,
        httpx.AsyncClient() as transport,
    ):
        speaking = cohere.AsyncClientV2(api_key="k", base_url=str(server.make_url("")), httpx_client=transport)
        with pytest.raises(cohere_error) as told:
            await speaking.chat(model="m", messages=ASKED, request_options={"max_retries": 0})
    assert isinstance(told.value, ApiError)
    assert (told.value.status_code, told.value.body) == (status, {"message": "why"})
    async with (
        TestServer(answering(status, OllamaChat().refusal(refusal), "application/json")) as server,
        ollama.AsyncClient(host=str(server.make_url("/"))) as local,
    ):
        with pytest.raises(ollama.ResponseError) as said:
            await local.chat(model="m", messages=ASKED)
    assert (said.value.status_code, said.value.error) == (status, "why")
    async with (
        TestServer(answering(status, OpenAIChat().refusal(refusal), "application/json")) as server,
        Mistral(api_key="k", server_url=str(server.make_url("")).rstrip("/")) as mistral,
    ):
        with pytest.raises(MistralError) as answered:
            await mistral.chat.complete_async(model="m", messages=ASKED)
    assert (answered.value.status_code, json.loads(answered.value.body)["error"]["code"]) == (status, "our_code")


@pytest.mark.parametrize("cut", range(4))
def test_a_refusal_ends_a_json_array_whole_events_of_which_have_left(cut: int) -> None:
    """Google's SDK streams by SSE only: who asks for the array reads it as JSON, whole or in pieces."""
    decoder = JsonArrayDecoder()
    events = decoder.feed(b'[{"candidates": [1]}\r\n,\r\n{"candidates": []},\n {"usageMetadata": {}}\n]')
    sent = b"".join(event.raw for event in events[:cut])
    body = sent + GeminiGenerate().stream_refusal(BLOCKED, "application/json; charset=UTF-8", first=not sent)
    *before, refused = json.loads(body)
    assert len(before) == cut
    assert refused["error"]["status"] == "PERMISSION_DENIED"
    reader = GeminiGenerate().response_reader(None, 200, "application/json; charset=UTF-8")
    reader.feed(body)
    assert reader.end(complete=True).error_type == "PERMISSION_DENIED"


async def test_a_refusal_in_a_stream_raises_in_googles_sdk() -> None:
    body = b'data: {"candidates":[]}\r\n\r\n' + GeminiGenerate().stream_refusal(BLOCKED)
    async with (
        TestServer(answering(200, body, "text/event-stream")) as server,
        httpx.AsyncClient() as transport,
    ):
        with google(str(server.make_url("/")), transport) as client:
            stream = await client.aio.models.generate_content_stream(model="m", contents="hi")
            with pytest.raises(errors.ClientError, match="data-protector") as raised:
                async for _ in stream:
                    pass
    assert raised.value.status == "PERMISSION_DENIED"


async def test_a_refusal_in_a_stream_raises_in_ollamas_sdk() -> None:
    begun = b'{"model":"m","message":{"role":"assistant","content":"a"},"done":false}\n'
    body = begun + OllamaChat().stream_refusal(BLOCKED)
    async with (
        TestServer(answering(200, body, "application/x-ndjson")) as server,
        ollama.AsyncClient(host=str(server.make_url("/"))) as client,
    ):
        stream = await client.chat(model="m", messages=ASKED, stream=True)
        with pytest.raises(ollama.ResponseError, match="data-protector"):
            async for _ in stream:
                pass


async def test_a_refusal_in_a_stream_ends_it_in_coheres_sdk() -> None:
    """The SDK raises nothing inside a stream: the API ends it with an error in its last event."""
    begun = b'event: message-start\ndata: {"type":"message-start","id":"x"}\n\n'
    body = begun + CohereChat().stream_refusal(BLOCKED)
    async with (
        TestServer(answering(200, body, "text/event-stream")) as server,
        httpx.AsyncClient() as transport,
    ):
        client = cohere.AsyncClientV2(api_key="k", base_url=str(server.make_url("")), httpx_client=transport)
        events: list[Any] = [event async for event in client.chat_stream(model="m", messages=ASKED)]
    assert events[-1].delta.finish_reason == "ERROR"
    assert events[-1].delta.error == BLOCKED.message
