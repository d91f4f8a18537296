"""Google's embedContent and batchEmbedContents: what was embedded, never the vectors. No I/O.

Source: google-genai 3.6 (`models.py`), ai.google.dev/api/embeddings.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import Message, RequestReading, ResponseReading, Usage
from gateway.providers import settings
from gateway.providers.counts import CountsReader
from gateway.providers.errors import error_type_of
from gateway.providers.gemini_content import content_of
from gateway.providers.google_names import call_in, camel_keys, camel_keys_once, google_error, method_of
from gateway.providers.lenient import count_or_none
from gateway.providers.request import add_unread, entries, unreadable_request, with_repair
from gateway.providers.unread import shown_whole

_METHODS = frozenset({"embedContent", "batchEmbedContents"})
_NAMES = frozenset({"requests"})

Fields = dict[str, msgspec.Raw]
_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode


class _Answer(msgspec.Struct, rename="camel"):
    """All but the vectors."""

    usage_metadata: Any = None
    error: Any = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


class GeminiEmbed:
    """Implements `Provider`."""

    name = "gemini_embeddings"
    operation = "embeddings"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and method_of(path) in _METHODS

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        requests = with_repair(_requests, body)
        reading = RequestReading() if requests else unreadable_request(body)
        reading.model = call_in(target).model
        if requests:
            entries(reading, reading.messages, requests, _read_request, known)
            if bytes(requests[0]) != body.strip():
                add_unread(reading, body, _NAMES, [("requests", requests)], known)
            config = _config(_fields(requests[0]))
            settings.add_int(reading.attributes, settings.DIMENSIONS, config.get("outputDimensionality"))
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return CountsReader(status, _take)

    def refusal(self, refusal: Refusal) -> bytes:
        return google_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        """These answers are no streams."""
        return google_error(refusal)


def _requests(body: bytes) -> list[msgspec.Raw]:
    """One, or those of a batch."""
    fields = _fields(body)
    requests = [msgspec.Raw(body.strip())] if "requests" not in fields else _decode_raws(fields["requests"])
    if not all("content" in _fields(request) for request in requests):
        raise ValueError("nothing to embed")
    return requests


def _fields(body: msgspec.Raw | bytes) -> Fields:
    return camel_keys_once(_decode_fields(body))


@shown_whole
def _read_request(raw: bytes) -> Message:
    return content_of(_fields(raw)["content"])


def _config(fields: Fields) -> dict[str, Any]:
    """The settings stand beside the content, or below a name of their own."""
    nested = with_repair(_decode_any, bytes(fields.get("embedContentConfig", b"{}")))
    own = with_repair(_decode_any, bytes(fields.get("outputDimensionality", b"null")))
    return {"outputDimensionality": own, **(camel_keys(nested) if isinstance(nested, dict) else {})}


def _take(body: bytes, reading: ResponseReading) -> None:
    answer = _decode_answer(body)
    if answer.error is not None:
        reading.error_type = error_type_of(answer.error)
    if isinstance(answer.usage_metadata, dict):
        prompt = count_or_none(answer.usage_metadata.get("promptTokenCount"))
        reading.usage = Usage("missing" if prompt is None else "reported", prompt)
