"""Anthropic's Message Batches (`/v1/messages/batches`): every request and every result shown to agents. No I/O.

Results are not counted as usage: they may be fetched again and again, each time with the same tokens.
Source: types of anthropic 2.12 (`types/messages/batch_create_params.py`, `message_batch_individual_response.py`).
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.message import Entry, RequestReading, ResponseReading
from gateway.providers.anthropic_answer import AnthropicMessagesAnswer
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.errors import error_type_of
from gateway.providers.lenient import text_or_none
from gateway.providers.reader import BodyReader
from gateway.providers.request import NO_RAW, add_unread, unreadable_request, with_repair

_PATH = "/messages/batches"


class _Request(msgspec.Struct):
    params: msgspec.Raw
    custom_id: Any = None


class _Body(msgspec.Struct):
    requests: list[msgspec.Raw]


class _Result(msgspec.Struct):
    type: Any = None
    message: msgspec.Raw = NO_RAW


class _Line(msgspec.Struct):
    """One line of results; also a batch, a list of them, or an error."""

    id: Any = None
    custom_id: Any = None
    result: _Result | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_request = msgspec.json.Decoder(_Request).decode
_NAMES = frozenset(_Body.__struct_fields__)
_REQUEST_NAMES = frozenset(_Request.__struct_fields__)
_decode_line = msgspec.json.Decoder(_Line).decode


class AnthropicBatches(AnthropicMessages):
    """Implements `Provider`."""

    name = "anthropic_batches"
    operation = ""
    """None of the conventions': nothing is generated while the call lasts."""

    def matches(self, method: str, path: str) -> bool:
        before, found, rest = path.partition(_PATH)
        return bool(found) and before in ("", "/v1") and rest[:1] in ("", "/")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        if not body:
            return RequestReading()  # asks for a batch, or cancels one
        decoded = with_repair(_decode, body)
        if decoded is None:
            return unreadable_request(body)
        whole = _together([self._read_one(bytes(raw), known) for raw in decoded.requests])
        add_unread(whole, body, _NAMES, [], known)
        return whole

    def _read_one(self, raw: bytes, known: KnownMessages) -> RequestReading:
        request = with_repair(_decode_request, raw)
        if request is None:
            return unreadable_request(raw)
        reading = super().read_request(bytes(request.params), known)
        add_unread(reading, raw, _REQUEST_NAMES, [], known)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(_BatchesAnswer(status), status, content_type)


def _together(readings: list[RequestReading]) -> RequestReading:
    """Settings are left out: each request has its own. A model only where all name the same."""
    whole = RequestReading()
    definitions: list[Entry] = []
    for reading in readings:
        whole.messages += reading.messages
        whole.system += reading.system
        definitions += reading.definitions
        if reading.state != "full":
            whole.state = reading.state
    whole.definitions = tuple(definitions)
    models = {reading.model for reading in readings}
    whole.model = models.pop() if len(models) == 1 else ""
    return whole


class _BatchesAnswer:
    """Implements `Answer`: what a batch is doing, or its results, a line each."""

    __slots__ = ("_reading", "_status", "ended")

    def __init__(self, status: int) -> None:
        self.ended = False
        self._status = status
        self._reading = ResponseReading()

    def body(self, data: bytes) -> None:
        """Results come as a file whose content type does not say so."""
        try:
            lines = [_decode_line(data)]
        except msgspec.DecodeError:
            lines = [_decode_line(line) for line in data.splitlines() if line.strip()]
        for line in lines:
            self._take(line)

    def event(self, data: bytes, name: str = "") -> None:
        self._take(_decode_line(data))

    def _take(self, line: _Line) -> None:
        reading = self._reading
        if line.error is not None:
            reading.error_type = error_type_of(line.error)
        if line.custom_id is None:
            reading.id = text_or_none(line.id)
        if line.result is not None and line.result.message is not NO_RAW:
            answer = AnthropicMessagesAnswer(200)
            answer.body(bytes(line.result.message))
            said = answer.reading()
            reading.messages += said.messages
            reading.finish_reasons += said.finish_reasons
            reading.raw_finish_reasons += said.raw_finish_reasons

    def reading(self) -> ResponseReading:
        return self._reading
