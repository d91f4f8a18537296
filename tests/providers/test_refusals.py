"""The official SDKs raise their own exceptions for our refusals, before a stream and inside one."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.contracts import Provider
from gateway.model.exchange import Refusal
from gateway.providers.anthropic_batches import AnthropicBatches
from gateway.providers.anthropic_count import AnthropicCount
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.anthropic_vertex import AnthropicVertex, AnthropicVertexCount
from gateway.providers.cohere_chat import CohereChat
from gateway.providers.cohere_embed import CohereEmbed, CohereRerank
from gateway.providers.gemini_count import GeminiCount
from gateway.providers.gemini_embed import GeminiEmbed
from gateway.providers.gemini_generate import GeminiGenerate
from gateway.providers.generic import Generic
from gateway.providers.mistral_fim import MistralFim
from gateway.providers.ollama_chat import OllamaChat
from gateway.providers.ollama_embed import OllamaEmbed
from gateway.providers.ollama_generate import OllamaGenerate
from gateway.providers.openai_chat import OpenAIChat
from gateway.providers.openai_completions import OpenAICompletions
from gateway.providers.openai_embeddings import OpenAIEmbeddings
from gateway.providers.openai_images import OpenAIImages
from gateway.providers.openai_moderations import OpenAIModerations
from gateway.providers.openai_responses import OpenAIResponses, OpenAIResponsesPoll
from gateway.providers.openai_speech import OpenAISpeech
from gateway.providers.openai_transcriptions import OpenAITranscriptions

VERTEX = "/v1/projects/p/locations/l/publishers"
BLOCKED = Refusal(403, "blocked_by_policy", "data-protector: remove the “secret” and try again.")
ASKED: Any = [{"role": "user", "content": "hi"}]


def answering(status: int, body: bytes, content_type: str) -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type=content_type)

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    return app


@pytest.mark.parametrize(
    ("status", "openai_type", "anthropic_type", "openai_error", "anthropic_error"),
    [
        (400, "invalid_request_error", "invalid_request_error", openai.BadRequestError, anthropic.BadRequestError),
        (
            401,
            "authentication_error",
            "authentication_error",
            openai.AuthenticationError,
            anthropic.AuthenticationError,
        ),
        (403, "permission_error", "permission_error", openai.PermissionDeniedError, anthropic.PermissionDeniedError),
        (404, "invalid_request_error", "not_found_error", openai.NotFoundError, anthropic.NotFoundError),
        (410, "invalid_request_error", "invalid_request_error", openai.APIStatusError, anthropic.APIStatusError),
        (413, "invalid_request_error", "request_too_large", openai.APIStatusError, anthropic.APIStatusError),
        (429, "rate_limit_error", "rate_limit_error", openai.RateLimitError, anthropic.RateLimitError),
        (502, "server_error", "api_error", openai.InternalServerError, anthropic.APIStatusError),
        (503, "server_error", "overloaded_error", openai.InternalServerError, anthropic.APIStatusError),
        (504, "server_error", "timeout_error", openai.InternalServerError, anthropic.APIStatusError),
    ],
)
async def test_a_refusal_raises_what_its_status_means(
    status: int,
    openai_type: str,
    anthropic_type: str,
    openai_error: type[openai.APIStatusError],
    anthropic_error: type[anthropic.APIStatusError],
) -> None:
    refusal = Refusal(status, "our_code", "why")
    async with (
        TestServer(answering(status, OpenAIChat().refusal(refusal), "application/json")) as server,
        openai.AsyncOpenAI(api_key="k", base_url=str(server.make_url("/v1")), max_retries=0) as client,
    ):
        with pytest.raises(openai_error) as raised:
            await client.chat.completions.create(model="m", messages=ASKED)
    assert (raised.value.code, raised.value.type) == ("our_code", openai_type)
    async with (
        TestServer(answering(status, AnthropicMessages().refusal(refusal), "application/json")) as server,
        anthropic.AsyncAnthropic(api_key="k", base_url=str(server.make_url("/")), max_retries=0) as human,
    ):
        with pytest.raises(anthropic_error) as raised_too:
            await human.messages.create(model="m", max_tokens=1, messages=ASKED)
    assert raised_too.value.body == {"type": "error", "error": {"type": anthropic_type, "message": "why"}}


async def test_a_refusal_in_a_stream_raises_in_openais_sdk() -> None:
    begun = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}\n\n'
    body = begun + OpenAIChat().stream_refusal(BLOCKED)
    async with (
        TestServer(answering(200, body, "text/event-stream")) as server,
        openai.AsyncOpenAI(api_key="k", base_url=str(server.make_url("/v1")), max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
        with pytest.raises(openai.APIError, match="data-protector") as raised:
            async for _ in stream:
                pass
    assert raised.value.code == "blocked_by_policy"


async def test_a_refusal_in_a_stream_of_responses_raises_in_openais_sdk() -> None:
    begun = b'event: response.in_progress\ndata: {"type":"response.in_progress","sequence_number":0,"response":{}}\n\n'
    body = begun + OpenAIResponses().stream_refusal(BLOCKED)
    async with (
        TestServer(answering(200, body, "text/event-stream")) as server,
        openai.AsyncOpenAI(api_key="k", base_url=str(server.make_url("/v1")), max_retries=0) as client,
    ):
        stream = await client.responses.create(model="m", input="hi", stream=True)
        with pytest.raises(openai.APIError, match="data-protector") as raised:
            async for _ in stream:
                pass
    assert raised.value.code == "blocked_by_policy"
    event = json.loads(OpenAIResponses().stream_refusal(BLOCKED).partition(b"data: ")[2])
    assert (event["type"], event["code"]) == ("error", "blocked_by_policy")


async def test_a_refusal_in_a_stream_raises_in_anthropics_sdk() -> None:
    begun = b'event: ping\ndata: {"type":"ping"}\n\n'
    body = begun + AnthropicMessages().stream_refusal(BLOCKED)
    async with (
        TestServer(answering(200, body, "text/event-stream")) as server,
        anthropic.AsyncAnthropic(api_key="k", base_url=str(server.make_url("/")), max_retries=0) as client,
    ):
        stream = await client.messages.create(model="m", max_tokens=1, messages=ASKED, stream=True)
        with pytest.raises(anthropic.APIStatusError, match="data-protector"):
            async for _ in stream:
                pass


@pytest.mark.parametrize("make", [Generic().refusal, OpenAIChat().refusal, OpenAIImages().refusal])
def test_our_code_stands_in_the_error(make: Callable[[Refusal], bytes]) -> None:
    assert json.loads(make(BLOCKED))["error"]["code"] == "blocked_by_policy"


@pytest.mark.parametrize(
    ("provider", "method", "path", "matches"),
    [
        (OpenAIChat(), "POST", "/v1/chat/completions", True),
        (OpenAIChat(), "POST", "/openai/deployments/gpt/chat/completions", True),
        (OpenAIChat(), "GET", "/v1/chat/completions", False),
        (OpenAIChat(), "POST", "/v1/chat/completions/id", False),
        (OpenAIChat(), "POST", "/v1/completions", False),
        (OpenAIResponses(), "POST", "/v1/responses", True),
        (OpenAIResponses(), "POST", "/openai/v1/responses", True),
        (OpenAIResponses(), "POST", "/v1/responses/compact", True),
        (OpenAIResponses(), "POST", "/v1/responses/input_tokens", False),
        (OpenAIResponses(), "POST", "/v1/responses/resp_1/cancel", False),
        (OpenAIResponsesPoll(), "GET", "/v1/responses/resp_1", True),
        (OpenAIResponsesPoll(), "GET", "/v1/responses/resp_1/input_items", False),
        (OpenAIResponsesPoll(), "GET", "/v1/responses", False),
        (OpenAIResponsesPoll(), "DELETE", "/v1/responses/resp_1", False),
        (OpenAICompletions(), "POST", "/v1/completions", True),
        (OpenAICompletions(), "POST", "/openai/deployments/gpt/completions", True),
        (OpenAICompletions(), "POST", "/v1/chat/completions", False),
        (OpenAICompletions(), "POST", "/v1/agents/completions", False),
        (OpenAIEmbeddings(), "POST", "/v1/embeddings", True),
        (OpenAIImages(), "POST", "/v1/images/edits", True),
        (OpenAIImages(), "GET", "/v1/images/edits", False),
        (OpenAISpeech(), "POST", "/openai/deployments/tts/audio/speech", True),
        (OpenAITranscriptions(), "POST", "/v1/audio/translations", True),
        (OpenAIModerations(), "POST", "/v1/moderations", True),
        (AnthropicMessages(), "POST", "/v1/messages", True),
        (AnthropicMessages(), "POST", "/v1/messages/count_tokens", False),
        (AnthropicMessages(), "POST", "/v1/messages/batches", False),
        (AnthropicMessages(), "POST", "/v1/threads/t/messages", False),
        (AnthropicCount(), "POST", "/v1/messages/count_tokens", True),
        (AnthropicBatches(), "POST", "/v1/messages/batches", True),
        (AnthropicBatches(), "GET", "/v1/messages/batches/msgbatch_1/results", True),
        (AnthropicBatches(), "POST", "/v1/messages", False),
        (AnthropicBatches(), "POST", "/v1/x/messages/batches", False),
        (AnthropicVertex(), "POST", f"{VERTEX}/anthropic/models/claude@1:streamRawPredict", True),
        (AnthropicVertex(), "POST", f"{VERTEX}/anthropic/models/count-tokens:rawPredict", False),
        (AnthropicVertex(), "POST", f"{VERTEX}/mistralai/models/m:rawPredict", False),
        (AnthropicVertexCount(), "POST", f"{VERTEX}/anthropic/models/count-tokens:rawPredict", True),
        (GeminiGenerate(), "POST", "/v1beta/models/gemini-2.5-pro:generateContent", True),
        (GeminiGenerate(), "POST", "/v1beta/tunedModels/mine:streamGenerateContent", True),
        (GeminiGenerate(), "POST", f"{VERTEX}/google/models/gemini-2.5-pro:streamGenerateContent", True),
        (GeminiGenerate(), "POST", "/v1/projects/p/locations/l/endpoints/123:generateContent", True),
        (GeminiGenerate(), "GET", "/v1beta/models/gemini-2.5-pro:generateContent", False),
        (GeminiGenerate(), "POST", "/v1beta/models/gemini-2.5-pro:countTokens", False),
        (GeminiGenerate(), "POST", "/v1beta/models", False),
        (GeminiCount(), "POST", "/v1beta/models/gemini-2.5-pro:countTokens", True),
        (GeminiEmbed(), "POST", "/v1beta/models/gemini-embedding-001:batchEmbedContents", True),
        (OllamaChat(), "POST", "/api/chat", True),
        (OllamaChat(), "POST", "/api/chat/completions", False),
        (OllamaGenerate(), "POST", "/api/generate", True),
        (OllamaEmbed(), "POST", "/api/embeddings", True),
        (CohereChat(), "POST", "/v2/chat", True),
        (CohereChat(), "POST", "/v1/chat", False),
        (CohereEmbed(), "POST", "/v2/embed", True),
        (CohereRerank(), "POST", "/v2/rerank", True),
        (MistralFim(), "POST", "/v1/fim/completions", True),
        (Generic(), "PUT", "/anything", True),
    ],
)
def test_a_format_knows_its_paths(provider: Provider, method: str, path: str, matches: bool) -> None:
    assert provider.matches(method, path) is matches
