"""Cohere's embeddings and rerankings (`POST …/v2/embed`, `…/v2/rerank`): what was sent, never the vectors. No I/O.

Source: cohere 7.3 (`v2/raw_client.py`, `types/embed_by_type_response.py`, `v2/types/v2rerank_response.py`).
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import Message, Part, RequestReading, ResponseReading, Text, Usage
from gateway.providers import settings
from gateway.providers.cohere_answer import usage_of
from gateway.providers.cohere_refusal import cohere_error
from gateway.providers.counts import CountsReader
from gateway.providers.known import entry_of
from gateway.providers.lenient import text_or_none
from gateway.providers.openai_message import content_parts
from gateway.providers.parts import media, shallow, without_bytes
from gateway.providers.request import unreadable_request, with_repair


class _Body(msgspec.Struct):
    model: Any = None
    texts: list[str] | None = None
    images: list[str] | None = None
    inputs: list[dict[str, Any]] | None = None
    output_dimension: Any = None
    embedding_types: Any = None


class _RerankBody(msgspec.Struct):
    query: str
    documents: list[Any]
    model: Any = None


class _Answer(msgspec.Struct):
    """All but the vectors and scores."""

    id: Any = None
    meta: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_rerank = msgspec.json.Decoder(_RerankBody).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_to_json = msgspec.json.Encoder().encode


class CohereEmbed:
    """Implements `Provider`."""

    name = "cohere_embeddings"
    operation = "embeddings"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/v2/embed")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        if decoded is None or all(said is None for said in (decoded.texts, decoded.images, decoded.inputs)):
            return unreadable_request(body)
        reading = RequestReading(model=decoded.model if isinstance(decoded.model, str) else "")
        parts: list[list[Part]] = [[Text(text)] for text in decoded.texts or ()]
        parts += [[media("image", image)] for image in decoded.images or ()]
        parts += [content_parts(each.get("content")) for each in decoded.inputs or ()]
        reading.messages = [entry_of(Message("user", tuple(each))) for each in parts]
        settings.add_int(reading.attributes, settings.DIMENSIONS, decoded.output_dimension)
        settings.add_texts(reading.attributes, settings.ENCODING_FORMATS, decoded.embedding_types)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return CountsReader(status, _take)

    def refusal(self, refusal: Refusal) -> bytes:
        return cohere_error(refusal)

    def stream_refusal(self, refusal: Refusal) -> bytes:
        """These answers are no streams."""
        return cohere_error(refusal)


class CohereRerank(CohereEmbed):
    """Implements `Provider`."""

    name = "cohere_rerank"
    operation = "rerank"
    """None of the conventions' own: `retrieval` names a data source, here the client sends the documents."""

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/v2/rerank")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode_rerank, body)
        if decoded is None:
            return unreadable_request(body)
        reading = RequestReading(model=decoded.model if isinstance(decoded.model, str) else "")
        texts = [decoded.query, *map(_document, decoded.documents)]
        reading.messages = [entry_of(Message("user", tuple(Text(text) for text in texts)))]
        return reading


def _document(document: Any) -> str:
    return document if isinstance(document, str) else _to_json(without_bytes(shallow(document))).decode()


def _take(body: bytes, reading: ResponseReading) -> None:
    answer = _decode_answer(body)
    reading.id = text_or_none(answer.id)
    usage = usage_of(answer.meta)
    if usage.input_tokens is not None:
        reading.usage = Usage("reported", usage.input_tokens)
