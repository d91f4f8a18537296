"""Any other API: relayed, named as far as its body says, and its text shown to agents raw. Understands no message."""

from typing import Any
from urllib.parse import unquote_plus

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import NOT_UNDERSTOOD, Refusal
from gateway.model.message import Entry, Message, RequestReading, ResponseReading
from gateway.providers.abundance import has_too_many_values
from gateway.providers.errors import error_type_of
from gateway.providers.known import entry_of
from gateway.providers.lenient import RepeatedNameError, body_entry
from gateway.providers.openai_refusal import openai_error, openai_error_event
from gateway.providers.request import with_repair
from gateway.providers.unread import lines_in

_FORM = "application/x-www-form-urlencoded"
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

    name = NOT_UNDERSTOOD
    operation = ""

    def matches(self, method: str, path: str) -> bool:
        return True

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        reading = RequestReading()
        if text := body_entry(body, "user"):
            reading.messages.append(text)
            _add_pieces(reading, text, body, content_type)
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

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        return b"event: error\n" + openai_error_event(refusal)


def _add_pieces(reading: RequestReading, whole: Entry, body: bytes, content_type: str) -> None:
    """What the text hides from a reader of raw text, for agents alone: words cut in pieces, packed or escaped."""
    said = ""
    if content_type.partition(";")[0].strip().lower() == _FORM:
        said = unquote_plus(whole.texts[0])
    elif body.lstrip()[:1] in (b"{", b"[") and not has_too_many_values(body):
        try:
            said = lines_in(body)
        except RepeatedNameError:  # which of the two counts is each server's own matter
            reading.state = "unreadable"
        except (ValueError, RecursionError):
            return
    if said:
        reading.definitions = (msgspec.structs.replace(entry_of(Message("system", ())), texts=(said,), notes={}),)


class _GenericReader:
    """Implements `ResponseReader`: the raw text, and an error's type where one stands where most APIs put it."""

    __slots__ = ("_chunks", "_status")

    cut = False
    corrupt_frames = 0

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
        elif _VECTORS not in body and (text := body_entry(body, "assistant", "stop" if complete else "error")):
            reading.messages.append(text)
        return reading
