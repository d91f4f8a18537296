"""Where the built-in model speaks which of OpenAI's APIs, also at Azure's paths. No I/O."""

import re
from urllib.parse import unquote

from gateway.demo.dialect import Dialect
from gateway.demo.openai_chat import OpenAIChat
from gateway.demo.openai_completions import OpenAICompletions
from gateway.demo.openai_media import OpenAIImages, OpenAISpeech, OpenAITranscriptions
from gateway.demo.openai_responses import OpenAIResponses
from gateway.demo.openai_responses_besides import OpenAICompaction, OpenAIInputTokens
from gateway.demo.openai_small import OpenAIEmbeddings, OpenAIModerations

_RESPONSES = OpenAIResponses()
OPENAI_DIALECTS: dict[str, Dialect] = {
    "/v1/chat/completions": OpenAIChat(),
    "/v1/responses": _RESPONSES,
    "/v1/responses/compact": OpenAICompaction(),
    "/v1/responses/input_tokens": OpenAIInputTokens(),
    "/v1/completions": OpenAICompletions(),
    "/v1/embeddings": OpenAIEmbeddings(),
    "/v1/moderations": OpenAIModerations(),
    "/v1/images/generations": OpenAIImages(),
    "/v1/images/edits": OpenAIImages(),
    "/v1/audio/speech": OpenAISpeech(),
    "/v1/audio/transcriptions": OpenAITranscriptions(),
    "/v1/audio/translations": OpenAITranscriptions(),
}
AZURE_FILTER = (
    b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,'
    b'"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}\n\n'
)
"""What Azure sends before a chat stream's first chunk."""
_AZURE = re.compile(r"/openai/(?:deployments/([^/]+)|v1)(?=/)")
_A_RESPONSE = re.compile(r"/v1/responses/(resp_[0-9a-f]+)")


def at_openai(path: str) -> tuple[str, str]:
    """Azure's path as OpenAI's, and the deployment in it; any other path as it is, and ""."""
    azure = _AZURE.match(path)
    return (path, "") if azure is None else ("/v1" + path[azure.end() :], unquote(azure[1] or ""))


def polled(path: str) -> bytes | None:
    """The response that this path asks for; None where it asks for none."""
    asked = _A_RESPONSE.fullmatch(path)
    return None if asked is None else _RESPONSES.poll(asked[1])
