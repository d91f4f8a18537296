"""Ollama's chat (`POST …/api/chat`), a stream of JSON lines unless the request says otherwise. No I/O.

Source: ollama 0.6 (`_types.py`, `ChatRequest`), docs.ollama.com/api/chat.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import RequestReading
from gateway.providers.lenient import text_or_none
from gateway.providers.ollama_answer import OllamaAnswer
from gateway.providers.ollama_message import read_message
from gateway.providers.ollama_settings import add_options, ollama_error, ollama_error_line
from gateway.providers.reader import BodyReader
from gateway.providers.request import NO_RAW, add_conversation, unreadable_request, with_repair


class _Body(msgspec.Struct):
    messages: list[msgspec.Raw]
    model: Any = None
    stream: Any = None
    tools: msgspec.Raw = NO_RAW
    options: Any = None
    think: Any = None
    format: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = frozenset(_Body.__struct_fields__)


class OllamaChat:
    """Implements `Provider`."""

    name = "ollama_chat"
    operation = "chat"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/api/chat")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        if decoded is None:
            return unreadable_request(body)
        reading = RequestReading(model=text_or_none(decoded.model) or "", stream=decoded.stream is not False)
        reading.reader = read_message
        add_conversation(reading, body, decoded.messages, decoded.tools, read_message, _NAMES, known)
        add_options(reading.attributes, decoded.options, decoded.think, decoded.format)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(OllamaAnswer(status), status, content_type)

    def refusal(self, refusal: Refusal) -> bytes:
        return ollama_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        return ollama_error_line(refusal)
