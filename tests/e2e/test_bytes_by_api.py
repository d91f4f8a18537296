"""The same request directly and through the real gateway, for every API that the built-in model speaks."""

import json
from typing import Any

import pytest

from gateway.demo.model import BuiltinModel
from tests.demo.rawhttp import post
from tests.e2e.gateway_process import Gateway
from tests.e2e.test_bytes import content_of, end_to_end

pytestmark = pytest.mark.asyncio(loop_scope="module")

_SENT = ("accept-encoding: gzip, br, zstd, deflate", "X-Odd-CASE: kept", "x-twice: 1", "x-twice: 2", "x-empty: ")
_SAID = "Hello é\u2028 there"
_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
_FUNCTION = {"name": "f", "parameters": _SCHEMA}
_OPENAI_TOOLS = [{"type": "function", "function": _FUNCTION}]
_GOOGLE: dict[str, Any] = {
    "contents": [{"role": "user", "parts": [{"text": _SAID}]}],
    "tools": [{"functionDeclarations": [_FUNCTION]}],
}
_CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": _SAID}], "tools": _OPENAI_TOOLS}
_VERTEX = "/v1/projects/p/locations/l/publishers"
_ANTHROPIC = {
    "anthropic_version": "vertex-2023-10-16",
    "max_tokens": 100,
    "messages": _CHAT["messages"],
    "tools": [{"name": "f", "input_schema": _SCHEMA}],
}

CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gemini": ("gemini", "/v1beta/models/{model}:generateContent", _GOOGLE),
    "gemini-sse": ("gemini", "/v1beta/models/{model}:streamGenerateContent?alt=sse", _GOOGLE),
    "gemini-array": ("gemini", "/v1beta/models/{model}:streamGenerateContent", _GOOGLE),
    "gemini-count": ("gemini", "/v1beta/models/{model}:countTokens", _GOOGLE),
    "gemini-embed": ("gemini", "/v1beta/models/{model}:embedContent", {"content": _GOOGLE["contents"][0]}),
    "vertex": ("vertex", _VERTEX + "/google/models/{model}:generateContent", _GOOGLE),
    "vertex-array": ("vertex", _VERTEX + "/google/models/{model}:streamGenerateContent", _GOOGLE),
    "vertex-anthropic": ("vertex", _VERTEX + "/anthropic/models/{model}:rawPredict", _ANTHROPIC),
    "vertex-anthropic-stream": ("vertex", _VERTEX + "/anthropic/models/{model}:streamRawPredict", _ANTHROPIC),
    "ollama-chat": ("ollama", "/api/chat", _CHAT | {"stream": False}),
    "ollama-chat-stream": ("ollama", "/api/chat", _CHAT),
    "ollama-generate-stream": ("ollama", "/api/generate", {"prompt": _SAID}),
    "ollama-embed": ("ollama", "/api/embed", {"input": _SAID}),
    "cohere-chat": ("cohere", "/v2/chat", _CHAT),
    "cohere-chat-stream": ("cohere", "/v2/chat", _CHAT | {"stream": True}),
    "cohere-embed": ("cohere", "/v2/embed", {"texts": [_SAID], "input_type": "search_query"}),
    "cohere-rerank": ("cohere", "/v2/rerank", {"query": _SAID, "documents": ["a", {"text": "b"}]}),
    "mistral-chat-stream": ("mistral", "/v1/chat/completions", _CHAT | {"stream": True}),
    "mistral-fim": ("mistral", "/v1/fim/completions", {"prompt": _SAID, "suffix": "x"}),
    "mistral-fim-stream": ("mistral", "/v1/fim/completions", {"prompt": _SAID, "stream": True}),
    "mistral-agents": ("mistral", "/v1/agents/completions", _CHAT),
    "mistral-agents-stream": ("mistral", "/v1/agents/completions", _CHAT | {"stream": True}),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "name",
    [
        "demo",
        "demo-tools",
        "demo-reasoning",
        "demo-no-usage",
        "demo-long-2000",
        "demo-gzip",
        "demo-zstd",
        "demo-headers",
        "demo-html",
        "demo-error-400",
        "demo-error-429",
        "demo-error-529",
        "demo-error-in-stream",
        "demo-cut-mid-body",
        "demo-no-such-model",
    ],
)
async def test_answer_is_the_same_bytes(model: BuiltinModel, gateway: Gateway, name: str, call: str) -> None:
    prefix, path, fields = CALLS[call]
    path = path.format(model=name)
    said = {"agent_id": name} if "/agents/" in path else {} if "{model}" in CALLS[call][1] else {"model": name}
    body = json.dumps(said | fields, ensure_ascii=False).encode()
    direct = await post(model.url, path, body, *_SENT)
    sent_direct = await model.received(model.count)
    relayed = await post(gateway.url, f"/{prefix}{path}", body, *_SENT)
    sent_relayed = await model.received(model.count)
    assert content_of(relayed) == content_of(direct)
    assert sent_relayed.body == sent_direct.body == body
    assert sent_relayed.target == path
    assert end_to_end(sent_relayed) == end_to_end(sent_direct)


async def test_google_key_in_the_query_reaches_google_and_is_stored_nowhere(
    model: BuiltinModel, gateway: Gateway
) -> None:
    path = "/v1beta/models/demo:streamGenerateContent?key=AIzaSecret&alt=sse"
    body = json.dumps(_GOOGLE).encode()
    await post(gateway.url, f"/gemini{path}", body, "x-session-id: google-key")
    assert (await model.received(model.count)).target == path
    traces = await gateway.traces("google-key", 2)
    assert traces[1]["api"] == "gemini_generate_content"
    assert "AIzaSecret" not in json.dumps(traces) + gateway.log


@pytest.mark.parametrize("call", [call for call in CALLS if not call.startswith("mistral")])
async def test_model_that_breaks_before_its_answer_is_502_in_the_apis_own_shape(gateway: Gateway, call: str) -> None:
    prefix, path, fields = CALLS[call]
    body = json.dumps({"model": "demo-early-close"} | fields).encode()
    status, _, said, _ = content_of(await post(gateway.url, f"/{prefix}{path.format(model='demo-early-close')}", body))
    error = json.loads(said)
    assert status.startswith("502")
    match prefix, "anthropic" in call:
        case "ollama", _:
            assert isinstance(error["error"], str)
        case "cohere", _:
            assert isinstance(error["message"], str)
        case _, True:
            assert error["error"]["type"] == "api_error"
        case _:
            assert (error["error"]["code"], error["error"]["status"]) == (502, "UNAVAILABLE")
