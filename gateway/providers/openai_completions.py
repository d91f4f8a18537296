"""OpenAI's older Completions (`POST …/completions`), also as Azure and compatible servers speak it. No I/O.

Source: types of openai 3.54 (`types/completion_create_params.py`). Its answers are read as those of Chat Completions,
whose choices they have but for the name of one field.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.message import RequestReading
from gateway.providers import settings
from gateway.providers.lenient import text_or_none
from gateway.providers.openai_answer import OpenAIChatAnswer
from gateway.providers.openai_input import begun
from gateway.providers.openai_refusal import RefusesAsOpenAI
from gateway.providers.reader import BodyReader
from gateway.providers.request import NO_RAW, unreadable_request, with_repair

_OTHERS = ("/chat/completions", "/agents/completions", "/fim/completions")


class _Body(msgspec.Struct):
    """Only what is asked for; nested values stay raw until someone needs them."""

    prompt: msgspec.Raw
    suffix: msgspec.Raw = NO_RAW
    model: Any = None
    stream: Any = None
    stream_options: Any = None
    """How it is streamed: nothing a model reads."""
    temperature: Any = None
    top_p: Any = None
    max_tokens: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    seed: Any = None
    stop: Any = None
    n: Any = None
    user: Any = None
    session_id: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = frozenset(_Body.__struct_fields__)


class OpenAICompletions(RefusesAsOpenAI):
    """Implements `Provider`."""

    name = "openai_completions"
    operation = "text_completion"

    def matches(self, method: str, path: str) -> bool:
        # Not Mistral's: agents take messages, and fill-in-the-middle answers as chat does.
        return method == "POST" and path.endswith("/completions") and not path.endswith(_OTHERS)

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        if decoded is None:
            return unreadable_request(body)
        reading = begun(body, decoded, target, known, _NAMES, "prompt", "suffix")
        if decoded.stream is True:
            reading.stream = True
        settings.add_usual(reading.attributes, decoded)
        if decoded.n != 1:
            settings.add_int(reading.attributes, settings.CHOICE_COUNT, decoded.n)
        reading.user = text_or_none(decoded.user)
        settings.add_hint(reading.session_hints, "session_id", decoded.session_id)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(OpenAIChatAnswer(status), status, content_type)
