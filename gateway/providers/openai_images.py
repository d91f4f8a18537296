"""OpenAI's Images (`POST …/images/generations`, `…/edits`, `…/variations`): prompts in, images out by size and hash.

Source: types of openai 3.54 (`types/image_generate_params.py`, `image_edit_params.py`, `images_response.py`,
`image_gen_completed_event.py`). No I/O; never keeps an image.
"""

import re
from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.message import FinishReason, Message, Part, RequestReading, ResponseReading, Text
from gateway.providers import settings
from gateway.providers.errors import error_type_of
from gateway.providers.histories import MAX_ENTRIES
from gateway.providers.known import entry_of
from gateway.providers.lenient import text_or_none
from gateway.providers.openai_fields import begun, fields_of
from gateway.providers.openai_refusal import RefusesAsOpenAI
from gateway.providers.openai_tokens import add_tokens
from gateway.providers.parts import blob, media
from gateway.providers.reader import BodyReader

_PATH = re.compile(r".*/images/(?:generations|edits|variations)", re.DOTALL)


class _Image(msgspec.Struct):
    b64_json: Any = None
    url: Any = None
    revised_prompt: Any = None


class _Body(msgspec.Struct):
    data: list[_Image] | None = None
    output_format: Any = None
    usage: Any = None
    error: Any = None
    type: Any = None
    b64_json: Any = None


_decode = msgspec.json.Decoder(_Body).decode


class OpenAIImages(RefusesAsOpenAI):
    """Implements `Provider`."""

    name = "openai_images"
    operation = "generate_content"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and _PATH.fullmatch(path) is not None

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        fields = fields_of(body, content_type)
        reading = begun(fields, target, known, "prompt", media_in=("image", "images", "mask"))
        if (count := fields.number("n")) != 1:
            settings.add_int(reading.attributes, settings.CHOICE_COUNT, count)
        settings.add_text(reading.attributes, settings.OUTPUT_TYPE, "image")
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(_ImagesAnswer(status), status, content_type, raw=False)


class _ImagesAnswer:
    """Implements `Answer`. The API gives no finish reasons; an image that is there is one choice that came whole."""

    __slots__ = ("_mime_type", "_partial", "_reading", "_status", "ended")

    def __init__(self, status: int) -> None:
        self.ended = False
        self._status = status
        self._reading = ResponseReading()
        self._mime_type = "image/png"
        self._partial: _Image | None = None

    def body(self, data: bytes) -> None:
        body = _decode(data)
        if body.data is None and body.error is None and self._status < 400:
            raise ValueError("neither images nor an error")
        if body.data is not None and len(body.data) > MAX_ENTRIES:
            raise ValueError("more images than anybody can ask for")
        self._take(body, body.data or [])

    def event(self, data: bytes, name: str = "") -> None:
        """Partial images are earlier states of the one that completes them: kept where none does."""
        if data.startswith(b"[DONE]"):
            self.ended = True
            return
        event = _decode(data)
        completed = isinstance(event.type, str) and event.type.endswith(".completed")
        image = _Image(event.b64_json)
        self._take(event, [image] if completed else [])
        if event.b64_json is not None:
            self._partial = None if completed else image
        self.ended |= completed or event.error is not None

    def _take(self, said: _Body, images: list[_Image]) -> None:
        if said.error is not None:
            self._reading.error_type = error_type_of(said.error)
        if image_format := text_or_none(said.output_format):
            self._mime_type = f"image/{image_format}"
        for image in images:
            self._add(image, "stop")
        if said.usage is not None:
            add_tokens(self._reading, said.usage)

    def _add(self, image: _Image, finish_reason: FinishReason) -> None:
        message = Message("assistant", tuple(_parts(image, self._mime_type)), finish_reason=finish_reason)
        self._reading.messages.append(entry_of(message))

    def reading(self) -> ResponseReading:
        if self._partial is not None:
            self._add(self._partial, "error")
        return self._reading


def _parts(image: _Image, mime_type: str) -> list[Part]:
    parts: list[Part] = []
    if revised := text_or_none(image.revised_prompt):
        parts.append(Text(revised))
    if encoded := text_or_none(image.b64_json):
        parts.append(blob("image", encoded, mime_type))
    elif url := text_or_none(image.url):
        parts.append(media("image", url))
    return parts
