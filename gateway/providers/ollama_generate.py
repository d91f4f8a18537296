"""Ollama's completion of a prompt (`POST …/api/generate`), a stream of JSON lines unless the request says otherwise.

No I/O. Source: ollama 0.6 (`_types.py`, `GenerateRequest`), docs.ollama.com/api/generate.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages
from gateway.model.message import Message, Part, RequestReading, Text
from gateway.providers.known import entry_of
from gateway.providers.ollama_chat import OllamaChat
from gateway.providers.ollama_message import images_of
from gateway.providers.ollama_settings import add_options
from gateway.providers.parts import unknown
from gateway.providers.request import unreadable_request, with_repair


class _Body(msgspec.Struct):
    model: str
    """Without a prompt the call only loads the model."""
    prompt: Any = None
    suffix: Any = None
    system: Any = None
    template: Any = None
    images: Any = None
    stream: Any = None
    options: Any = None
    think: Any = None
    format: Any = None


_decode = msgspec.json.Decoder(_Body).decode


class OllamaGenerate(OllamaChat):
    """Implements `Provider`. Answers are a chat's with the text in another field."""

    name = "ollama_generate"
    operation = "text_completion"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/api/generate")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        if decoded is None:
            return unreadable_request(body)
        reading = RequestReading(model=decoded.model, stream=decoded.stream is not False)
        if said := (*_texts(decoded.prompt, decoded.suffix), *images_of(decoded.images)):
            reading.messages.append(entry_of(Message("user", said)))
        if instructed := _texts(decoded.system, decoded.template):
            reading.system.append(entry_of(Message("system", instructed)))
        add_options(reading.attributes, decoded.options, decoded.think, decoded.format)
        return reading


def _texts(*values: Any) -> tuple[Part, ...]:
    return tuple(Text(value) if isinstance(value, str) else unknown("text", value) for value in values if value)
