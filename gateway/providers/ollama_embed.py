"""Ollama's embeddings (`POST …/api/embed`, the older `…/api/embeddings`): what was embedded, never the vectors. No I/O.

Source: ollama 0.6 (`_types.py`, `EmbedRequest`, `EmbedResponse`).
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import RequestReading, ResponseReading, Usage
from gateway.providers import settings
from gateway.providers.counts import CountsReader
from gateway.providers.lenient import count_or_none, text_or_none
from gateway.providers.ollama_settings import ollama_error, ollama_error_line
from gateway.providers.openai_input import add_inputs
from gateway.providers.request import NO_RAW, add_unread, is_said, unreadable_request, with_repair


class _Body(msgspec.Struct):
    input: msgspec.Raw = NO_RAW
    prompt: msgspec.Raw = NO_RAW
    """Of the older call."""
    model: Any = None
    dimensions: Any = None


class _Answer(msgspec.Struct):
    """All but the vectors."""

    model: Any = None
    prompt_eval_count: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = frozenset(_Body.__struct_fields__)
_decode_answer = msgspec.json.Decoder(_Answer).decode


class OllamaEmbed:
    """Implements `Provider`."""

    name = "ollama_embeddings"
    operation = "embeddings"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith(("/api/embed", "/api/embeddings"))

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        if decoded is None or not (is_said(decoded.input) or is_said(decoded.prompt)):
            return unreadable_request(body)
        reading = RequestReading(model=decoded.model if isinstance(decoded.model, str) else "")
        for said in (decoded.input, decoded.prompt):
            if said is not NO_RAW:
                add_inputs(reading, said, known)
        add_unread(reading, body, _NAMES, [("input", (decoded.input,)), ("prompt", (decoded.prompt,))], known)
        settings.add_int(reading.attributes, settings.DIMENSIONS, decoded.dimensions)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return CountsReader(status, _take)

    def refusal(self, refusal: Refusal) -> bytes:
        return ollama_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        return ollama_error_line(refusal)


def _take(body: bytes, reading: ResponseReading) -> None:
    answer = _decode_answer(body)
    if answer.error is not None:
        reading.error_type = "_OTHER"
    reading.model = text_or_none(answer.model)
    prompt = count_or_none(answer.prompt_eval_count)
    reading.usage = Usage("missing" if prompt is None else "reported", prompt)
