"""Reads one message by an API's own wire shape; one of another shape is a part of an unknown kind. No I/O."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from gateway.model.message import Message, Unread
from gateway.providers.parts import unknown
from gateway.providers.unread import shown_whole

_T = TypeVar("_T")
_decode_any = msgspec.json.Decoder().decode


def reader_of(wire: type[_T], neutral: Callable[[_T], Message]) -> Callable[[bytes], Message | Unread]:
    """A reader of raw JSON that raises ValueError or RecursionError for bytes that are no strict JSON."""
    decode = msgspec.json.Decoder(wire).decode

    @shown_whole
    def read_message(raw: bytes) -> Message:
        try:
            return neutral(decode(raw))
        except msgspec.ValidationError:
            return Message("", (unknown("message", _decode_any(raw)),))

    return read_message
