"""Bedrock's CountTokens (`POST /model/{id}/count-tokens`): what would be asked, and no answer to it. No I/O."""

from binascii import a2b_base64
from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import RequestReading, ResponseReading
from gateway.providers.bedrock_answer import BedrockConverseAnswer
from gateway.providers.bedrock_converse import conversation
from gateway.providers.bedrock_invoke import native_request
from gateway.providers.bedrock_path import add_path, asked_at
from gateway.providers.bedrock_refusal import aws_error, aws_exception_frame
from gateway.providers.reader import BodyReader
from gateway.providers.request import NO_RAW, add_unread, unreadable_request, with_repair


class _Invoke(msgspec.Struct):
    body: str = ""


class _Input(msgspec.Struct, rename="camel"):
    converse: msgspec.Raw = NO_RAW
    invoke_model: msgspec.Raw = NO_RAW


class _Body(msgspec.Struct):
    input: msgspec.Raw


class _Count(msgspec.Struct, rename="camel"):
    input_tokens: Any


_decode = msgspec.json.Decoder(_Body).decode
_decode_input = msgspec.json.Decoder(_Input).decode
_decode_invoke = msgspec.json.Decoder(_Invoke).decode
_NAMES = frozenset({"input"})
_decode_count = msgspec.json.Decoder(_Count).decode


class BedrockCountTokens:
    """Implements `Provider`."""

    name = "bedrock_count_tokens"
    operation = ""

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and asked_at(path, "count-tokens")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        reading = _counted(bytes(decoded.input), known) if decoded is not None else None
        if reading is None:
            reading = unreadable_request(body)
        else:
            add_unread(reading, body, _NAMES, [], known)
        add_path(reading, target)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(_CountAnswer(status), status, content_type)

    def refusal(self, refusal: Refusal) -> bytes:
        return aws_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        return aws_exception_frame(refusal)


def _counted(raw: bytes, known: KnownMessages) -> RequestReading | None:
    said = with_repair(_decode_input, raw)
    if said is None:
        return None
    if said.converse is not NO_RAW:
        reading = conversation(bytes(said.converse), known)
        add_unread(reading, raw, frozenset({"converse"}), [], known)
        return reading
    held = bytes(said.invoke_model)
    invoke = with_repair(_decode_invoke, held)
    if invoke is None:
        return None
    try:
        reading = native_request(a2b_base64(invoke.body), known)
    except ValueError:
        return None
    add_unread(reading, raw, frozenset({"invokeModel"}), [], known)
    add_unread(reading, held, frozenset({"body"}), [], known)
    return reading


class _CountAnswer:
    """Implements `Answer`. The count is of what was not sent to a model: no usage."""

    __slots__ = ("_error", "_status", "ended")

    def __init__(self, status: int) -> None:
        self.ended = False
        self._status = status
        self._error: BedrockConverseAnswer | None = None

    def body(self, data: bytes) -> None:
        if self._status >= 400:
            self._error = BedrockConverseAnswer(self._status)
            self._error.body(data)
        else:
            _decode_count(data)

    def event(self, data: bytes, name: str = "") -> None:
        _decode_count(data)

    def reading(self) -> ResponseReading:
        return self._error.reading() if self._error is not None else ResponseReading()
