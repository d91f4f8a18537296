"""OpenAI's transcriptions and translations (`POST …/audio/transcriptions`, `…/translations`): sound in, text out.

The sound is known by its size, type and hash and never kept. Source: types of openai 3.54
(`types/audio/transcription_create_params.py`, `transcription.py`, `transcription_text_delta_event.py`). No I/O.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.message import Message, RequestReading, ResponseReading, Text
from gateway.providers import settings
from gateway.providers.errors import error_type_of
from gateway.providers.known import entry_of
from gateway.providers.openai_fields import begun, fields_of
from gateway.providers.openai_refusal import RefusesAsOpenAI
from gateway.providers.openai_tokens import add_tokens
from gateway.providers.reader import BodyReader

_JSON_FORMATS = ("", "json", "verbose_json", "diarized_json")


class _Body(msgspec.Struct):
    text: Any = None
    delta: Any = None
    type: Any = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body).decode


class OpenAITranscriptions(RefusesAsOpenAI):
    """Implements `Provider`."""

    name = "openai_transcriptions"
    operation = "generate_content"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith(("/audio/transcriptions", "/audio/translations"))

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        fields = fields_of(body, content_type)
        reading = begun(fields, target, known, "prompt", "keywords")
        settings.add_double(reading.attributes, settings.TEMPERATURE, fields.number("temperature"))
        asked = fields.values.get("response_format")
        if isinstance(asked, str):
            settings.add_text(reading.attributes, settings.OUTPUT_TYPE, "json" if asked in _JSON_FORMATS else "text")
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        plain = content_type.startswith("text/") and not content_type.startswith("text/event-stream")
        return BodyReader(_TranscriptionAnswer(status, plain), status, content_type)


class _TranscriptionAnswer:
    """Implements `Answer`. The API gives no finish reasons."""

    __slots__ = ("_pieces", "_plain", "_reading", "_status", "_text", "ended")

    def __init__(self, status: int, plain: bool) -> None:
        """`plain`: the body is the text itself, or subtitles."""
        self.ended = False
        self._status = status
        self._plain = plain and status < 400
        self._reading = ResponseReading()
        self._pieces: list[str] = []
        self._text: str | None = None

    def body(self, data: bytes) -> None:
        if self._plain:
            self._text, self.ended = data.decode("utf-8", "replace"), True
            return
        body = _decode(data)
        if not isinstance(body.text, str) and body.error is None and self._status < 400:
            raise ValueError("neither a text nor an error")
        self._take(body)
        self.ended = True

    def event(self, data: bytes, name: str = "") -> None:
        if data.startswith(b"[DONE]"):
            self.ended = True
            return
        event = _decode(data)
        if event.type == "transcript.text.delta" and isinstance(event.delta, str):
            self._pieces.append(event.delta)
        elif event.type == "transcript.text.done" or event.error is not None:
            self._take(event)
            self.ended = True

    def _take(self, said: _Body) -> None:
        if said.error is not None:
            self._reading.error_type = error_type_of(said.error)
        if isinstance(said.text, str):
            self._text = said.text
        if said.usage is not None:
            add_tokens(self._reading, said.usage)

    def reading(self) -> ResponseReading:
        text = "".join(self._pieces) if self._text is None else self._text
        if text:
            whole = self.ended and self._reading.error_type is None
            message = Message("assistant", (Text(text),), finish_reason="stop" if whole else "error")
            self._reading.messages.append(entry_of(message))
        return self._reading
