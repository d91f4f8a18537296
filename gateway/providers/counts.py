"""Reads answers of which only the facts count: vectors, rankings, counted tokens. Vectors never get into a reading."""

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.model.message import ResponseReading
from gateway.providers import settings
from gateway.providers.errors import error_type_of
from gateway.providers.lenient import raw_entry, repaired

_NO_WORDS = (b'"embedding', b'"values"', b'"bytesBase64Encoded"')


class _InputTokens(msgspec.Struct):
    input_tokens: Any = None
    error: Any = None


_decode_input_tokens = msgspec.json.Decoder(_InputTokens).decode


def take_input_tokens(body: bytes, reading: ResponseReading) -> None:
    """A count as Anthropic and OpenAI answer it."""
    answer = _decode_input_tokens(body)
    if answer.error is not None:
        reading.error_type = error_type_of(answer.error)
    settings.add_int(reading.attributes, settings.COUNTED_TOKENS, answer.input_tokens)


class CountsReader:
    """Implements `ResponseReader`; `take` decodes a body and lays what it says into the reading, or raises."""

    __slots__ = ("_chunks", "_status", "_take")

    cut = False
    corrupt_frames = 0

    def __init__(self, status: int, take: Callable[[bytes, ResponseReading], None]) -> None:
        self._status = status
        self._take = take
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)

    def end(self, complete: bool) -> ResponseReading:
        body = b"".join(self._chunks)
        reading = ResponseReading()
        if body and self._understood(body, reading):
            return reading
        if not complete:
            reading.state = "truncated"
        elif body:
            reading.state = "unreadable"
        # Unreadable is not empty, but neither numbers nor pictures are anybody's words.
        if body and self._status < 400 and not any(mark in body for mark in _NO_WORDS):
            reading.messages.append(raw_entry(body, "assistant", "error"))
            reading.finish_reasons.append("error")
            reading.raw_finish_reasons.append("")
        return reading

    def _understood(self, body: bytes, reading: ResponseReading) -> bool:
        try:
            self._take(body, reading)
        except (ValueError, RecursionError):
            try:
                self._take(repaired(body), reading)
            except (ValueError, RecursionError):
                return False
        return True
