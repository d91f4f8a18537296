"""Feeds one response body to an API's own understanding of it: as events where it is a stream, else as a whole.

Decides which of the two it is, keeps what was not understood as raw text, and never raises on bad bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from gateway.model.message import ResponseReading
from gateway.providers.abundance import MOST_EVENTS, MOST_VALUES_ANSWERED, has_too_many_values
from gateway.providers.eventstream import EventStreamDecoder
from gateway.providers.lenient import raw_entry, repaired
from gateway.providers.ndjson import NdjsonDecoder
from gateway.providers.sse import SseDecoder


class Answer(Protocol):
    """What an API understood so far.

    `body` and `event` raise ValueError or RecursionError for bytes they cannot take, before they have kept any of them.
    """

    ended: bool
    """Whether the API has said that nothing more will come."""

    def body(self, data: bytes) -> None: ...

    def event(self, data: bytes, name: str) -> None:
        """`name`: what the framing calls the event, "" where it has no names."""

    def reading(self) -> ResponseReading:
        """Everything so far; choices that did not finish have the finish reason `error`."""


class Event(Protocol):
    """One event of a stream, whatever its framing."""

    @property
    def event(self) -> str:
        """Its name, "" where it has none."""

    @property
    def data(self) -> bytes:
        """What it says; b"" where it says nothing."""

    @property
    def raw(self) -> bytes:
        """The bytes as they came, framing included."""


class EventDecoder(Protocol):
    """Takes a stream's bytes, cut anywhere, apart into events; the raw bytes of all events are the bytes fed."""

    def feed(self, data: bytes) -> Sequence[Event]: ...

    def end(self) -> Event | None:
        """What is left when the stream is over: perhaps half an event."""


_DECODERS: Mapping[str, Callable[[], EventDecoder]] = {
    "text/event-stream": SseDecoder,
    "application/vnd.amazon.eventstream": EventStreamDecoder,
    "application/x-ndjson": NdjsonDecoder,
    "application/x-jsonl": NdjsonDecoder,
}
"""By content type."""


@lru_cache(maxsize=256)
def decoder_of(content_type: str) -> Callable[[], EventDecoder] | None:
    """What takes a body of this content type apart; None where it is a whole."""
    return _DECODERS.get(content_type.partition(";")[0].strip().lower())


_UNREADABLE_LIMIT = 1000
"""After so many events that nobody understands the rest is not tried: mending each would hold up a worker."""


class BodyReader:
    """Implements `ResponseReader` on top of an `Answer`."""

    __slots__ = (
        "_answer",
        "_chunks",
        "_decoder",
        "_events",
        "_over",
        "_raw_shown",
        "_status",
        "_taken",
        "_unreadable",
        "_untried",
        "corrupt_frames",
        "cut",
    )

    def __init__(
        self, answer: Answer, status: int, content_type: str, decoder: EventDecoder | None = None, raw: bool = True
    ) -> None:
        """`decoder`: of a stream that its content type does not tell from a whole answer; `raw`: False where a body
        that is not understood is still nothing to read, but vectors or media.
        """
        self._answer = answer
        self._raw_shown = raw
        self._status = status
        if decoder is None and (made := decoder_of(content_type)) is not None:
            decoder = made()
        self._decoder = decoder
        self.corrupt_frames = 0
        """Of an event stream that has checksums; half a frame where a stream broke off is none. Known at the end."""
        self._chunks: list[bytes] = []
        self._events = 0
        self._over = False
        """Nothing further is looked at."""
        self.cut = False
        self._taken = 0
        self._unreadable: list[bytes] = []
        self._untried: list[bytes] = []
        """Of these: agents see their raw text beside what was understood of the others."""

    def feed(self, data: bytes) -> None:
        if self._decoder is None:
            self._chunks.append(data)
            return
        if self._over:
            return
        events = self._decoder.feed(data)
        self._events += len(events)
        if self._events > MOST_EVENTS:
            self.cut = self._over = True
            events = events[: max(0, len(events) - (self._events - MOST_EVENTS))]
        for event in events:
            self._take(event)

    def end(self, complete: bool) -> ResponseReading:
        if self._decoder is None:
            body = b"".join(self._chunks)
            # Some servers stream without saying so in the content type.
            if not body.startswith((b"data:", b"event:")):
                return self._whole(body, complete)
            self._decoder = SseDecoder()
            self.feed(body)
        return self._stream(complete)

    def _whole(self, body: bytes, complete: bool) -> ResponseReading:
        if not body:
            reading = self._answer.reading()
            reading.state = "full" if complete else "truncated"
            return reading
        if self._raw_shown and has_too_many_values(
            body, False, MOST_VALUES_ANSWERED
        ):  # vectors are many values, and harmless
            self.cut = True
            return self._raw(body, complete)
        try:
            if _understood(self._answer.body, body):
                return self._answer.reading()
        except (ValueError, RecursionError):
            pass  # decoded, but nested too deeply to be written again: raw text it is
        return self._raw(body, complete)

    def _stream(self, complete: bool) -> ResponseReading:
        assert self._decoder is not None
        left = self._ended(self._decoder, complete)
        if left is not None and not self._over:
            if not (self._taken or self._unreadable) and left.raw.lstrip()[:1] in (b"{", b"["):
                return self._whole(left.raw, complete)
            self._take(left)
        if self._unreadable and not self._taken:
            return self._raw(b"\n".join(self._unreadable), complete and not self._over)
        reading = self._answer.reading()
        if self._untried and self._status < 400 and self._raw_shown:
            # No choice of its own, so the finish reasons stay as they are.
            reading.messages.append(raw_entry(b"\n".join(self._untried), "assistant", "error"))
        if self._unreadable or self.cut or not (complete or self._answer.ended):
            reading.state = "truncated"
        return reading

    def _ended(self, decoder: EventDecoder, complete: bool) -> Event | None:
        if not isinstance(decoder, EventStreamDecoder):
            return decoder.end()
        self.corrupt_frames = decoder.corrupt
        left = decoder.end()
        if complete:
            self.corrupt_frames = decoder.corrupt
        return left

    def _take(self, event: Event) -> None:
        if not event.data:
            return
        if len(self._unreadable) >= _UNREADABLE_LIMIT or has_too_many_values(event.data):
            self.cut = True
            self._unreadable.append(event.data)
            self._untried.append(event.data)
        elif _understood(lambda data: self._answer.event(data, event.event), event.data):
            self._taken += 1
        else:
            self._unreadable.append(event.data)

    def _raw(self, body: bytes, complete: bool) -> ResponseReading:
        """Unreadable is not empty: agents see the raw text. A failed request's error page is nobody's message."""
        reading = ResponseReading()
        reading.state = "unreadable" if complete else "truncated"
        if self._status < 400 and self._raw_shown:
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
