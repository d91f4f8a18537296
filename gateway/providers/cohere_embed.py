"""Cohere's embeddings and rerankings (`POST …/v2/embed`, `…/v2/rerank`): what was sent, never the vectors. No I/O.

Source: cohere 7.3 (`v2/raw_client.py`, `types/embed_by_type_response.py`, `v2/types/v2rerank_response.py`).
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import Message, RequestReading, ResponseReading, Usage
from gateway.providers import settings
from gateway.providers.cohere_answer import usage_of
from gateway.providers.cohere_refusal import cohere_error
from gateway.providers.counts import CountsReader
from gateway.providers.lenient import text_or_none
from gateway.providers.ollama_message import images_of
from gateway.providers.openai_input import read_input
from gateway.providers.openai_message import content_parts
from gateway.providers.prompt import add_prompt
from gateway.providers.request import add_unread, entries, unreadable_request, with_repair
from gateway.providers.unread import shown_whole


class _Body(msgspec.Struct):
    model: Any = None
    texts: list[msgspec.Raw] | None = None
    images: list[msgspec.Raw] | None = None
    inputs: list[msgspec.Raw] | None = None
    output_dimension: Any = None
    embedding_types: Any = None


class _RerankBody(msgspec.Struct):
    query: msgspec.Raw
    documents: list[msgspec.Raw]
    model: Any = None


class _Answer(msgspec.Struct):
    """All but the vectors and scores."""

    id: Any = None
    meta: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_rerank = msgspec.json.Decoder(_RerankBody).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_fields = msgspec.json.Decoder(dict[str, Any]).decode
_NAMES = frozenset(_Body.__struct_fields__)
_RERANK_NAMES = frozenset(_RerankBody.__struct_fields__)


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
        entries(reading, reading.messages, decoded.texts or [], read_input, known)
        images = [msgspec.Raw(b'{"images":[%b]}' % image) for image in decoded.images or ()]
        entries(reading, reading.messages, [*images, *(decoded.inputs or ())], _read_input, known)
        add_unread(reading, body, _NAMES, [], known)
        settings.add_int(reading.attributes, settings.DIMENSIONS, decoded.output_dimension)
        settings.add_texts(reading.attributes, settings.ENCODING_FORMATS, decoded.embedding_types)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return CountsReader(status, _take)

    def refusal(self, refusal: Refusal) -> bytes:
        return cohere_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
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
        add_prompt(reading, known, decoded.query, *decoded.documents)
        add_unread(reading, body, _RERANK_NAMES, [], known)
        return reading


@shown_whole
def _read_input(raw: bytes) -> Message:
    """Text and images together, or images alone."""
    said = _decode_fields(raw)
    return Message("user", (*images_of(said.get("images")), *content_parts(said.get("content", []))))


def _take(body: bytes, reading: ResponseReading) -> None:
    answer = _decode_answer(body)
    reading.id = text_or_none(answer.id)
    usage = usage_of(answer.meta)
    if usage.input_tokens is not None:
        reading.usage = Usage("reported", usage.input_tokens)
