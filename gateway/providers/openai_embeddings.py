"""OpenAI's Embeddings (`POST …/embeddings`), also as Azure and compatible servers speak it. Vectors are never read.

Source: types of openai 3.54 (`types/embedding_create_params.py`, `create_embedding_response.py`). No I/O.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.message import RequestReading, ResponseReading, Usage
from gateway.providers import settings
from gateway.providers.errors import error_type_of
from gateway.providers.lenient import count_or_none, text_or_none
from gateway.providers.openai_input import begun
from gateway.providers.openai_refusal import RefusesAsOpenAI
from gateway.providers.reader import BodyReader
from gateway.providers.request import unreadable_request, with_repair


class _Request(msgspec.Struct):
    input: msgspec.Raw
    model: Any = None
    dimensions: Any = None
    encoding_format: Any = None
    user: Any = None


class _Body(msgspec.Struct):
    """`data` is passed over: what is not asked for is not built."""

    object: Any = None
    model: Any = None
    usage: Any = None
    error: Any = None


_decode_request = msgspec.json.Decoder(_Request).decode
_NAMES = frozenset(_Request.__struct_fields__)
_decode_body = msgspec.json.Decoder(_Body).decode


class OpenAIEmbeddings(RefusesAsOpenAI):
    """Implements `Provider`."""

    name = "openai_embeddings"
    operation = "embeddings"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/embeddings")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode_request, body)
        if decoded is None:
            return unreadable_request(body)
        reading = begun(body, decoded, target, known, _NAMES, "input")
        settings.add_int(reading.attributes, settings.DIMENSIONS, decoded.dimensions)
        settings.add_texts(reading.attributes, settings.ENCODING_FORMATS, decoded.encoding_format)
        reading.user = text_or_none(decoded.user)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(_EmbeddingsAnswer(), status, content_type, raw=False)


class _EmbeddingsAnswer:
    """Implements `Answer`: nothing is said in it, so there are no messages and no finish reasons."""

    __slots__ = ("_reading", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._reading = ResponseReading()

    def body(self, data: bytes) -> None:
        body = _decode_body(data)
        if body.error is not None:
            self._reading.error_type = error_type_of(body.error)
        self._reading.model = text_or_none(body.model)
        used = count_or_none(body.usage.get("prompt_tokens")) if isinstance(body.usage, dict) else None
        if used is not None:
            self._reading.usage = Usage("reported", used)

    def event(self, data: bytes, name: str = "") -> None:
        self.body(data)

    def reading(self) -> ResponseReading:
        return self._reading
