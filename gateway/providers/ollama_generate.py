"""Ollama's completion of a prompt (`POST …/api/generate`), a stream of JSON lines unless the request says otherwise.

No I/O. Source: ollama 0.6 (`_types.py`, `GenerateRequest`), docs.ollama.com/api/generate.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages
from gateway.model.message import RequestReading
from gateway.providers.ollama_chat import OllamaChat
from gateway.providers.ollama_settings import add_options
from gateway.providers.prompt import add_instructions, add_prompt
from gateway.providers.request import NO_RAW, add_unread, unreadable_request, with_repair


class _Body(msgspec.Struct):
    model: str
    """Without a prompt the call only loads the model."""
    prompt: msgspec.Raw = NO_RAW
    suffix: msgspec.Raw = NO_RAW
    system: msgspec.Raw = NO_RAW
    template: msgspec.Raw = NO_RAW
    images: msgspec.Raw = NO_RAW
    stream: Any = None
    options: Any = None
    think: Any = None
    format: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = frozenset(_Body.__struct_fields__)


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
        add_prompt(reading, known, decoded.prompt, decoded.suffix, images=decoded.images)
        add_instructions(reading, known, decoded.system, decoded.template)
        add_unread(reading, body, _NAMES, [("images", (decoded.images,)), ("prompt", (decoded.prompt,))], known)
        add_options(reading.attributes, decoded.options, decoded.think, decoded.format)
        return reading
