"""How a streamed answer is cut into events, and what may stand between two of them. Understands no event."""

from typing import NamedTuple

from gateway.providers.eventstream import EventStreamDecoder
from gateway.providers.gemini_generate import GeminiGenerate
from gateway.providers.google_names import method_of
from gateway.providers.json_array import JsonArrayDecoder
from gateway.providers.reader import EventDecoder, decoder_of
from gateway.providers.sse import SseDecoder


class Framing(NamedTuple):
    decoder: EventDecoder
    ping: bytes
    """Says nothing, between two events: a comment, or the white space that JSON allows; b"" where nothing may stand."""


def framing_of(api: str, target: str, content_type: str) -> Framing | None:
    """Of an answer; None where it is no stream, as far as its head tells.

    `api`, `target`: the exchange's. A JSON array in pieces has the content type of a whole answer.
    """
    made = decoder_of(content_type)
    if made is None:
        if api != GeminiGenerate.name or method_of(target) != "streamGenerateContent":
            return None
        return Framing(JsonArrayDecoder(), b" ")
    decoder = made()
    if isinstance(decoder, SseDecoder):
        return Framing(decoder, b": still here\n\n")
    return Framing(decoder, b"" if isinstance(decoder, EventStreamDecoder) else b" ")
