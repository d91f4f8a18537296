"""Any other API: relayed, named as far as its body says, and its text shown to agents raw. Understands no message."""

from hashlib import sha256
from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import Blob, Entry, FinishReason, Message, RequestReading, ResponseReading
from gateway.providers.errors import error_type_of
from gateway.providers.known import entry_of
from gateway.providers.lenient import raw_entry
from gateway.providers.openai_refusal import openai_error, openai_error_event
from gateway.providers.request import with_repair

_VECTORS = b'"embedding'


class _Head(msgspec.Struct):
    model: Any = None
    stream: Any = None


class _Body(msgspec.Struct):
    error: Any = None


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_body = msgspec.json.Decoder(_Body).decode


class Generic:
    """Implements `Provider`; the last one asked."""

    name = "generic"
    operation = ""

    def matches(self, method: str, path: str) -> bool:
        return True

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        reading = RequestReading()
        if text := _textual(body, "user"):
            reading.messages.append(text)
        if body.lstrip()[:1] == b"{":
            head = with_repair(_decode_head, body)
            if head is None:
                reading.state = "unreadable"
            else:
                reading.model = head.model if isinstance(head.model, str) else ""
                reading.stream = head.stream is True
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return _GenericReader(status)

    def refusal(self, refusal: Refusal) -> bytes:
        return openai_error(refusal)

    def stream_refusal(self, refusal: Refusal) -> bytes:
        return b"event: error\n" + openai_error_event(refusal)


class _GenericReader:
    """Implements `ResponseReader`: the raw text, and an error's type where one stands where most APIs put it."""

    __slots__ = ("_chunks", "_status")

    def __init__(self, status: int) -> None:
        self._status = status
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)

    def end(self, complete: bool) -> ResponseReading:
        body = b"".join(self._chunks)
        reading = ResponseReading()
        reading.state = "full" if complete else "truncated"
        if self._status >= 400:
            parsed = with_repair(_decode_body, body)
            if parsed is not None and parsed.error is not None:
                reading.error_type = error_type_of(parsed.error)
        # Vectors are no text, and must not get into spans.
        elif _VECTORS not in body and (text := _textual(body, "assistant", "stop" if complete else "error")):
            reading.messages.append(text)
        return reading


def _textual(body: bytes, role: str, finish_reason: FinishReason | None = None) -> Entry | None:
    """The body as one message, None where it is empty. Agents see its text whatever it is; of a binary one spans and
    store have size and hash."""
    if not body:
        return None
    entry = raw_entry(body, role, finish_reason)
    if b"\0" not in body or "\0" not in entry.texts[0]:
        return entry
    blob = Blob("file", None, sha256(body).hexdigest(), len(body))
    shown = entry_of(Message(role, (blob,), finish_reason=finish_reason))
    return msgspec.structs.replace(shown, texts=entry.texts, notes={})
