"""Feeds one response body to an API's own understanding of it: as events where it is a stream, else as a whole.

Decides which of the two it is, keeps what was not understood as raw text, and never raises on bad bytes.
"""

from collections.abc import Callable
from typing import Protocol

from gateway.model.message import ResponseReading
from gateway.providers.lenient import raw_entry, repaired
from gateway.providers.sse import SseDecoder, SseEvent


class Answer(Protocol):
    """What an API understood so far.

    `body` and `event` raise ValueError or RecursionError for bytes they cannot take, before they have kept any of them.
    """

    ended: bool
    """Whether the API has said that nothing more will come."""

    def body(self, data: bytes) -> None: ...

    def event(self, data: bytes) -> None: ...

    def reading(self) -> ResponseReading:
        """Everything so far; choices that did not finish have the finish reason `error`."""


class BodyReader:
    """Implements `ResponseReader` on top of an `Answer`."""

    __slots__ = ("_answer", "_chunks", "_sse", "_status", "_taken", "_unreadable")

    def __init__(self, answer: Answer, status: int, content_type: str) -> None:
        self._answer = answer
        self._status = status
        self._sse = SseDecoder() if content_type[:17].lower() == "text/event-stream" else None
        self._chunks: list[bytes] = []
        self._taken = 0
        self._unreadable: list[bytes] = []

    def feed(self, data: bytes) -> None:
        if self._sse is None:
            self._chunks.append(data)
            return
        for event in self._sse.feed(data):
            self._take(event)

    def end(self, complete: bool) -> ResponseReading:
        if self._sse is None:
            body = b"".join(self._chunks)
            # Some servers stream without saying so in the content type.
            if not body.startswith((b"data:", b"event:")):
                return self._whole(body, complete)
            self._sse = SseDecoder()
            self.feed(body)
        return self._stream(complete)

    def _whole(self, body: bytes, complete: bool) -> ResponseReading:
        if not body:
            reading = self._answer.reading()
            reading.state = "full" if complete else "truncated"
            return reading
        try:
            if _understood(self._answer.body, body):
                return self._answer.reading()
        except (ValueError, RecursionError):
            pass  # decoded, but nested too deeply to be written again: raw text it is
        return self._raw(body, complete)

    def _stream(self, complete: bool) -> ResponseReading:
        assert self._sse is not None
        left = self._sse.end()
        if left is not None:
            if not self._taken and left.raw.lstrip()[:1] in (b"{", b"["):
                return self._whole(left.raw, complete)
            self._take(left)
        if self._unreadable and not self._taken:
            return self._raw(b"\n".join(self._unreadable), complete)
        reading = self._answer.reading()
        if self._unreadable or not (complete or self._answer.ended):
            reading.state = "truncated"
        return reading

    def _take(self, event: SseEvent) -> None:
        if not event.data:
            return
        if _understood(self._answer.event, event.data):
            self._taken += 1
        else:
            self._unreadable.append(event.data)

    def _raw(self, body: bytes, complete: bool) -> ResponseReading:
        """Unreadable is not empty: agents see the raw text. A failed request's error page is nobody's message."""
        reading = ResponseReading()
        reading.state = "unreadable" if complete else "truncated"
        if self._status < 400:
            reading.messages = [raw_entry(body, "assistant", "error")]
            reading.finish_reasons = ["error"]
            reading.raw_finish_reasons = [""]
        return reading


def _understood(take: Callable[[bytes], None], data: bytes) -> bool:
    try:
        take(data)
    except (ValueError, RecursionError):
        try:
            take(repaired(data))
        except (ValueError, RecursionError):
            return False
    return True
