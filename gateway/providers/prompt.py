"""A prompt that stands in fields of its own beside the settings, read as one message. No I/O."""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages
from gateway.model.message import Message, Part, RequestReading, Text
from gateway.providers.ollama_message import images_of
from gateway.providers.parts import unknown
from gateway.providers.request import NO_RAW, entries
from gateway.providers.unread import shown_whole

_decode_list = msgspec.json.Decoder(list[Any]).decode
_SAYS_NOTHING = (b"", b"null", b'""', b"[]")


def add_prompt(
    reading: RequestReading, known: KnownMessages, *texts: msgspec.Raw, images: msgspec.Raw = NO_RAW
) -> None:
    """What a user says, if it is anything; `images` as Ollama has them."""
    if said := _list_of(texts, images):
        entries(reading, reading.messages, [said], _read_prompt, known)


def add_instructions(reading: RequestReading, known: KnownMessages, *texts: msgspec.Raw) -> None:
    if said := _list_of(texts, NO_RAW):
        entries(reading, reading.system, [said], _read_instructions, known)


def _list_of(texts: tuple[msgspec.Raw, ...], images: msgspec.Raw) -> msgspec.Raw | None:
    said = [data for text in texts if (data := bytes(text)) not in _SAYS_NOTHING]
    if (data := bytes(images)) not in _SAYS_NOTHING:
        said.append(b'{"images":%b}' % data)
    return msgspec.Raw(b"[%b]" % b",".join(said)) if said else None


@shown_whole
def _read_prompt(raw: bytes) -> Message:
    return Message("user", _parts(raw))


@shown_whole
def _read_instructions(raw: bytes) -> Message:
    return Message("system", _parts(raw))


def _parts(raw: bytes) -> tuple[Part, ...]:
    parts: list[Part] = []
    for said in _decode_list(raw):
        if isinstance(said, dict) and said.keys() == {"images"}:
            parts += images_of(said["images"])
        else:
            parts.append(Text(said) if isinstance(said, str) else unknown("text", said))
    return tuple(parts)
