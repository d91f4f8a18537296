"""Mistral's fill-in-the-middle (`POST …/fim/completions`): a prompt and a suffix; answers are a chat's. No I/O.

Source: mistralai 3.7 (`client/models/fimcompletionrequest.py`).
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages
from gateway.model.message import RequestReading
from gateway.providers import settings
from gateway.providers.openai_chat import OpenAIChat
from gateway.providers.prompt import add_prompt
from gateway.providers.request import NO_RAW, add_unread, unreadable_request, with_repair


class _Body(msgspec.Struct):
    prompt: msgspec.Raw
    suffix: msgspec.Raw = NO_RAW
    model: Any = None
    stream: Any = None
    temperature: Any = None
    top_p: Any = None
    max_tokens: Any = None
    stop: Any = None
    random_seed: Any = None
    prompt_cache_key: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = frozenset(_Body.__struct_fields__)


class MistralFim(OpenAIChat):
    """Implements `Provider`."""

    name = "mistral_fim"
    operation = "text_completion"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/fim/completions")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        if decoded is None:
            return unreadable_request(body)
        reading = RequestReading(model=decoded.model if isinstance(decoded.model, str) else "")
        reading.stream = decoded.stream is True
        add_prompt(reading, known, decoded.prompt, decoded.suffix)
        add_unread(reading, body, _NAMES, [("prompt", (decoded.prompt,)), ("suffix", (decoded.suffix,))], known)
        settings.add_usual(reading.attributes, decoded)
        settings.add_hint(reading.session_hints, "prompt_cache_key", decoded.prompt_cache_key)
        return reading
