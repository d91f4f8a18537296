"""What OpenAI's older and smaller APIs take: one text or many, tokens, or parts. No I/O."""

from typing import Any, Protocol

import msgspec

from gateway.contracts import KnownMessages
from gateway.model.message import Message, Other, RequestReading, Text
from gateway.providers.openai_deployment import model_of
from gateway.providers.openai_message import content_parts
from gateway.providers.parts import unknown
from gateway.providers.request import NO_RAW, add_unread, entries, with_repair
from gateway.providers.unread import shown_whole

_decode_any = msgspec.json.Decoder().decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_TOKEN = b"0123456789"


class Asking(Protocol):
    """A decoded body that names its model, perhaps."""

    model: Any


def begun(
    body: bytes, decoded: Asking, target: str, known: KnownMessages, names: frozenset[str], *inputs: str
) -> RequestReading:
    """A reading with what these fields of a decoded body say, and what else it says; `names`: of all its fields."""
    reading = RequestReading(model=model_of(decoded.model, target))
    held: list[tuple[str, msgspec.Raw]] = [(name, getattr(decoded, name)) for name in inputs]
    said = [(name, raw) for name, raw in held if raw is not NO_RAW]
    for _, raw in said:
        add_inputs(reading, raw, known)
    add_unread(reading, body, names, [(name, (raw,)) for name, raw in said], known)
    return reading


def add_inputs(reading: RequestReading, raw: msgspec.Raw, known: KnownMessages) -> None:
    """One message for each text; a list of parts, or of a text's tokens, is one message."""
    data = bytes(raw)
    if data == b"null":
        return
    inputs = (with_repair(_decode_raws, data) if data.startswith(b"[") else None) or [raw]
    first = bytes(inputs[0])[:1]
    if first == b"{" or (first and first in _TOKEN):
        inputs = [raw]
    entries(reading, reading.messages, inputs, read_input, known)


@shown_whole
def read_input(raw: bytes) -> Message:
    """One input. Raises ValueError or RecursionError for bytes that are no strict JSON."""
    return message_of(_decode_any(raw))


def message_of(said: Any) -> Message:
    if isinstance(said, str):
        return Message("user", (Text(said),))
    if isinstance(said, list) and said and type(said[0]) is int:
        return Message("user", (Other("tokens", said),))
    if isinstance(said, list):
        return Message("user", tuple(content_parts(said)))
    return Message("user", (unknown("input", said),))
