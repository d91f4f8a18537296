"""Which API a path speaks, where the path alone does not stand in a table: Google's name the model in it."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, unquote

from gateway.demo.anthropic_vertex import AnthropicVertex
from gateway.demo.cohere import CohereChat, CohereEmbed, CohereRerank
from gateway.demo.dialect import Dialect
from gateway.demo.gemini import Gemini, GeminiCount, GeminiEmbed
from gateway.demo.mistral_agents import MistralAgents
from gateway.demo.mistral_fim import MistralFim
from gateway.demo.ollama import OllamaChat, OllamaEmbed, OllamaGenerate

_GOOGLE = re.compile(r"/v1(?:beta1?)?/.*?(?:publishers/(\w+)/)?models/([^/:]+):(\w+)")
_FIXED: dict[str, Callable[[], Dialect]] = {
    "/api/chat": OllamaChat,
    "/api/generate": OllamaGenerate,
    "/api/embed": OllamaEmbed,
    "/v2/chat": CohereChat,
    "/v2/embed": CohereEmbed,
    "/v2/rerank": CohereRerank,
    "/v1/fim/completions": MistralFim,
    "/v1/agents/completions": MistralAgents,
}


def dialect_at(target: str) -> Dialect | None:
    path, _, query = target.partition("?")
    if made := _FIXED.get(path):
        return made()
    found = _GOOGLE.fullmatch(path)
    if found is None:
        return None
    publisher, model, method = found[1], unquote(found[2]), found[3]
    match method:
        case "generateContent":
            return Gemini(model)
        case "streamGenerateContent":
            return Gemini(model, stream=True, sse=parse_qs(query).get("alt") == ["sse"])
        case "embedContent" | "batchEmbedContents":
            return GeminiEmbed(model, batch=method == "batchEmbedContents")
        case "countTokens":
            return GeminiCount(model)
        case "rawPredict" | "streamRawPredict" if publisher == "anthropic":
            return AnthropicVertex(model, stream=method == "streamRawPredict")
    return None
