"""OpenAI's Moderations (`POST …/moderations`): texts and images in, what they were flagged for out. No I/O.

The conventions know no operation for it, so its spans have none. Source: types of openai 3.54
(`types/moderation_create_params.py`, `moderation_create_response.py`).
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.message import Message, Other, RequestReading, ResponseReading
from gateway.providers.errors import error_type_of
from gateway.providers.histories import MAX_ENTRIES
from gateway.providers.known import entry_of
from gateway.providers.lenient import text_or_none
from gateway.providers.openai_input import begun
from gateway.providers.openai_refusal import RefusesAsOpenAI
from gateway.providers.reader import BodyReader
from gateway.providers.request import unreadable_request, with_repair


class _Request(msgspec.Struct):
    input: msgspec.Raw
    model: Any = None


class _Result(msgspec.Struct):
    flagged: Any = None
    categories: dict[str, Any] | None = None


class _Body(msgspec.Struct):
    id: Any = None
    model: Any = None
    results: list[_Result] | None = None
    error: Any = None


_decode_request = msgspec.json.Decoder(_Request).decode
_NAMES = frozenset(_Request.__struct_fields__)
_decode_body = msgspec.json.Decoder(_Body).decode


class OpenAIModerations(RefusesAsOpenAI):
    """Implements `Provider`."""

    name = "openai_moderations"
    operation = ""

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/moderations")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode_request, body)
        if decoded is None:
            return unreadable_request(body)
        return begun(body, decoded, target, known, _NAMES, "input")

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(_ModerationsAnswer(status), status, content_type)


class _ModerationsAnswer:
    """Implements `Answer`: one message for each input, with the categories it was flagged for."""

    __slots__ = ("_reading", "_status", "ended")

    def __init__(self, status: int) -> None:
        self.ended = False
        self._status = status
        self._reading = ResponseReading()

    def body(self, data: bytes) -> None:
        body = _decode_body(data)
        if body.results is None and body.error is None and self._status < 400:
            raise ValueError("neither results nor an error")
        if body.results is not None and len(body.results) > MAX_ENTRIES:
            raise ValueError("more results than anybody can ask for")
        if body.error is not None:
            self._reading.error_type = error_type_of(body.error)
        self._reading.id, self._reading.model = text_or_none(body.id), text_or_none(body.model)
        self._reading.messages = [entry_of(_message(result)) for result in body.results or ()]

    def event(self, data: bytes, name: str = "") -> None:
        self.body(data)

    def reading(self) -> ResponseReading:
        return self._reading


def _message(result: _Result) -> Message:
    flagged_for = [name for name, value in (result.categories or {}).items() if value is True]
    said = {"flagged": result.flagged is True, "categories": flagged_for}
    return Message("assistant", (Other("moderation", said),), finish_reason="stop")
