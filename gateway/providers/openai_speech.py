"""OpenAI's speech (`POST …/audio/speech`): text in, sound out by size, type and hash. No I/O; never keeps the sound.

Source: types of openai 3.54 (`types/audio/speech_create_params.py`); the events of `stream_format: sse` from OpenAI's
API reference.
"""

from binascii import a2b_base64
from hashlib import sha256
from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.message import Blob, Message, RequestReading, ResponseReading
from gateway.providers import settings
from gateway.providers.errors import error_type_of
from gateway.providers.known import entry_of
from gateway.providers.openai_fields import begun, fields_of
from gateway.providers.openai_refusal import RefusesAsOpenAI
from gateway.providers.openai_tokens import add_tokens
from gateway.providers.reader import BodyReader


class _Event(msgspec.Struct):
    type: Any = None
    audio: Any = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class OpenAISpeech(RefusesAsOpenAI):
    """Implements `Provider`."""

    name = "openai_speech"
    operation = "generate_content"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/audio/speech")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        fields = fields_of(body, content_type)
        reading = begun(fields, target, known, "input", system=("instructions",))
        reading.stream = fields.values.get("stream_format") == "sse"
        settings.add_text(reading.attributes, settings.OUTPUT_TYPE, "speech")
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        kind = content_type.partition(";")[0].strip().lower()
        if status >= 400 or kind in ("application/json", "text/event-stream"):
            return BodyReader(_SpeechAnswer(), status, content_type, raw=False)
        return _SoundReader(kind)


class _Sound:
    """So much of it came, and its hash."""

    __slots__ = ("_hash", "size")

    def __init__(self) -> None:
        self._hash = sha256()
        self.size = 0

    def add(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)

    def message(self, mime_type: str | None, whole: bool) -> Message:
        """Half a sound has a size and no hash: it would be no file's."""
        content = Blob("audio", mime_type, self._hash.hexdigest() if whole else None, self.size)
        return Message("assistant", (content,), finish_reason="stop" if whole else "error")


class _SoundReader:
    """Implements `ResponseReader` for a body that is the sound itself."""

    __slots__ = ("_mime_type", "_sound")

    cut = False
    corrupt_frames = 0

    def __init__(self, mime_type: str) -> None:
        self._mime_type = mime_type
        self._sound = _Sound()

    def feed(self, data: bytes) -> None:
        self._sound.add(data)

    def end(self, complete: bool) -> ResponseReading:
        reading = ResponseReading(state="full" if complete else "truncated")
        if self._sound.size:
            reading.messages.append(entry_of(self._sound.message(self._mime_type or None, complete)))
        return reading


class _SpeechAnswer:
    """Implements `Answer`: an error, or the sound in base64 by events."""

    __slots__ = ("_reading", "_sound", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._reading = ResponseReading()
        self._sound = _Sound()

    def body(self, data: bytes) -> None:
        self._take(_decode(data))

    def event(self, data: bytes, name: str = "") -> None:
        if data.startswith(b"[DONE]"):
            self.ended = True
            return
        event = _decode(data)
        if isinstance(event.audio, str):
            self._sound.add(a2b_base64(event.audio))
        self._take(event)
        self.ended |= event.type == "speech.audio.done" or event.error is not None

    def _take(self, said: _Event) -> None:
        if said.error is not None:
            self._reading.error_type = error_type_of(said.error)
        if said.usage is not None:
            add_tokens(self._reading, said.usage)

    def reading(self) -> ResponseReading:
        if self._sound.size:
            whole = self.ended and self._reading.error_type is None
            self._reading.messages.append(entry_of(self._sound.message(None, whole)))
        return self._reading
