"""Cohere's chat, version 2 (`POST …/v2/chat`), whole or as SSE. No I/O.

Source: cohere 7.3 (`v2/raw_client.py`, `v2/types/`), docs.cohere.com/v2/reference/chat.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import RequestReading
from gateway.providers import settings
from gateway.providers.cohere_answer import CohereAnswer
from gateway.providers.cohere_message import read_message
from gateway.providers.cohere_refusal import cohere_error, cohere_error_event
from gateway.providers.lenient import text_or_none
from gateway.providers.reader import BodyReader
from gateway.providers.request import (
    NO_RAW,
    add_context,
    add_conversation,
    is_said,
    kind_of,
    unreadable_request,
    with_repair,
)


class _Body(msgspec.Struct):
    """Only what is asked for; nested values stay raw until someone needs them."""

    messages: list[msgspec.Raw]
    model: Any = None
    stream: Any = None
    tools: msgspec.Raw = NO_RAW
    documents: msgspec.Raw = NO_RAW
    response_format: msgspec.Raw = NO_RAW
    temperature: Any = None
    p: Any = None
    k: Any = None
    max_tokens: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    seed: Any = None
    stop_sequences: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = frozenset(_Body.__struct_fields__)


class CohereChat:
    """Implements `Provider`."""

    name = "cohere_chat"
    operation = "chat"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/v2/chat")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        if decoded is None:
            return unreadable_request(body)
        reading = RequestReading(model=text_or_none(decoded.model) or "", stream=decoded.stream is True)
        reading.reader = read_message
        documents = [("documents", (decoded.documents,))] if is_said(decoded.documents) else []
        if documents:
            add_context(reading, decoded.documents, known)
        add_conversation(reading, body, decoded.messages, decoded.tools, read_message, _NAMES, known, documents)
        settings.add_usual(reading.attributes, decoded)
        if decoded.response_format is not NO_RAW and kind_of(decoded.response_format) == "json_object":
            settings.add_text(reading.attributes, settings.OUTPUT_TYPE, "json")
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(CohereAnswer(status), status, content_type)

    def refusal(self, refusal: Refusal) -> bytes:
        return cohere_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        return cohere_error_event(refusal)
