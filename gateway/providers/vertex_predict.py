"""Vertex AI's `:predict`, by which older embeddings and pictures come: texts and hashes, never bytes or vectors.

No I/O. Source: google-genai 3.6 (`models.py`: `_embed_content`, `_generate_images`).
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import Message, Part, RequestReading, ResponseReading, Text, Usage
from gateway.providers import settings
from gateway.providers.counts import CountsReader
from gateway.providers.errors import error_type_of
from gateway.providers.google_names import call_in, camel_keys, google_error
from gateway.providers.known import entry_of
from gateway.providers.lenient import count_or_none, text_or_none
from gateway.providers.parts import blob, shallow, unknown
from gateway.providers.request import add_unread, entries, unreadable_request, with_repair
from gateway.providers.unread import shown_whole

_BYTES = "bytesBase64Encoded"
_TEXTS = frozenset({"content", "prompt", "text", "title", "negativePrompt", "raiFilteredReason"})
_UNSAID = frozenset({"embeddings", "mimeType", "taskType", "safetyAttributes"})
"""Vectors, and what describes the rest."""


class _Body(msgspec.Struct):
    instances: list[msgspec.Raw]
    parameters: Any = None


class _Answer(msgspec.Struct):
    predictions: list[Any] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_any = msgspec.json.Decoder().decode
_NAMES = frozenset(_Body.__struct_fields__)
_decode_answer = msgspec.json.Decoder(_Answer).decode


class VertexPredict:
    """Implements `Provider`."""

    name = "vertex_predict"
    operation = ""
    """The path does not say what a model makes."""

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and call_in(path).method == "predict"

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        reading = RequestReading() if decoded is not None else unreadable_request(body)
        reading.model = call_in(target).model
        if decoded is not None:
            entries(reading, reading.messages, decoded.instances, _read_instance, known)
            add_unread(reading, body, _NAMES, [], known)
            if isinstance(decoded.parameters, dict):
                parameters = camel_keys(decoded.parameters)
                settings.add_int(reading.attributes, settings.DIMENSIONS, parameters.get("outputDimensionality"))
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return CountsReader(status, _take)

    def refusal(self, refusal: Refusal) -> bytes:
        return google_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        """These answers are no streams."""
        return google_error(refusal)


class VertexEmbed(VertexPredict):
    """Implements `Provider`, for models whose name says that they embed."""

    name = "vertex_embeddings"
    operation = "embeddings"

    def matches(self, method: str, path: str) -> bool:
        return super().matches(method, path) and "embedding" in call_in(path).model


@shown_whole
def _read_instance(raw: bytes) -> Message:
    return Message("user", tuple(_parts(shallow(_decode_any(raw)))))


def _parts(said: Any) -> list[Part]:
    """Numbers are nobody's words, and may be vectors."""
    if isinstance(said, str):
        return [Text(said)]
    if isinstance(said, list):
        return [part for each in said for part in _parts(each)]
    if not isinstance(said, dict):
        return []
    parts: list[Part] = []
    fields = camel_keys(said)
    mime_type = text_or_none(fields.get("mimeType"))
    for name, held in fields.items():
        if name == _BYTES and isinstance(held, str):
            parts.append(blob((mime_type or "image").partition("/")[0], held, mime_type))
        elif name in _TEXTS and isinstance(held, str):
            parts.append(Text(held))
        elif isinstance(held, dict | list) and name not in _UNSAID:
            parts += _parts(held)
        elif isinstance(held, str) and name not in _UNSAID:
            parts.append(unknown(name, {name: held}))
    return parts


def _take(body: bytes, reading: ResponseReading) -> None:
    answer = _decode_answer(body)
    if answer.error is not None:
        reading.error_type = error_type_of(answer.error)
    tokens: list[int] = []
    for prediction in answer.predictions or ():
        if isinstance(prediction, dict) and isinstance(vectors := prediction.get("embeddings"), dict):
            statistics = vectors.get("statistics")
            count = statistics.get("token_count") if isinstance(statistics, dict) else None
            tokens += [known] if (known := count_or_none(count)) is not None else []
        elif parts := _parts(shallow(prediction)):
            reading.messages.append(entry_of(Message("assistant", tuple(parts), finish_reason="stop")))
            reading.finish_reasons.append("stop")
            reading.raw_finish_reasons.append("")
    if tokens:
        reading.usage = Usage("reported", sum(tokens))
