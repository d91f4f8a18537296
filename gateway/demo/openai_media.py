"""OpenAI's images and audio as the built-in model speaks them: made-up pictures and sounds, always the same. No I/O.

Shapes: openai 3.54's types, and OpenAI's API reference for the events of speech.
"""

from base64 import b64encode
from struct import pack
from typing import Any
from zlib import compress, crc32

import msgspec

from gateway.demo.conversation import Ask, Reply, Turn, pieces, tokens_in
from gateway.demo.dialect import SSE, BadRequestError, Headers, Problem
from gateway.demo.forms import form_of, is_form, values_of
from gateway.demo.openai_chat import CREATED, OpenAIChat

_to_json = msgspec.json.Encoder().encode
_SAMPLES = 400


class _Media:
    """What all of them have in common."""

    stream_type = SSE

    content_type = "application/json"
    asked = "prompt"
    """The field with the text that is asked about."""
    needs = "prompt"

    def read(self, body: bytes, seed: str) -> Ask:
        fields = _form(body) if is_form(body) else _json(body)
        if not fields.get(self.needs):
            raise BadRequestError(f"Missing required parameter: '{self.needs}'.")
        stream = fields.get("stream") in (True, "true") or fields.get("stream_format") == "sse"
        turns = (Turn("user", str(fields.get(self.asked) or "")),)
        return Ask(seed, str(fields.get("model", "demo")), turns, stream=stream, options=fields)

    def error(self, problem: Problem, seed: str) -> bytes:
        return OpenAIChat().error(problem, seed)

    def error_event(self, problem: Problem, seed: str) -> bytes:
        return OpenAIChat().error_event(problem, seed)

    def headers(self, seed: str) -> Headers:
        return OpenAIChat().headers(seed)


class OpenAIImages(_Media):
    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        count = int(ask.options.get("n") or 1)
        if ask.options.get("response_format") == "url":
            data = [{"url": f"https://images.example/{ask.seed}-{number}.png"} for number in range(count)]
        else:
            data = [{"b64_json": _picture(ask.seed, number)} for number in range(count)]
        body = {"created": CREATED, "data": data, "output_format": "png", "size": "8x8"}
        return _to_json(body | ({"usage": _usage(reply)} if usage else {}))

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        kind = "image_edit" if ask.options.get("image") else "image_generation"
        made = {"created_at": CREATED, "size": "8x8", "quality": "low", "background": "opaque", "output_format": "png"}
        partial = [
            {"type": f"{kind}.partial_image", "b64_json": _picture(ask.seed, 9 - number), "partial_image_index": number}
            for number in range(3)
        ]
        done: dict[str, Any] = {"type": f"{kind}.completed", "b64_json": _picture(ask.seed, 0)}
        done |= {"usage": _usage(reply)} if usage else {}
        return [_named(event | made) for event in (*partial, done)]


class OpenAISpeech(_Media):
    content_type = "audio/wav"
    asked = needs = "input"

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        return _sound(ask.seed)

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        sound = _sound(ask.seed)
        thirds = [sound[start : start + 300] for start in range(0, len(sound), 300)]
        events = [{"type": "speech.audio.delta", "audio": b64encode(part).decode()} for part in thirds]
        done: dict[str, Any] = {"type": "speech.audio.done"}
        done |= {"usage": _usage(reply)} if usage else {}
        return [_unnamed(event) for event in (*events, done)]


class OpenAITranscriptions(_Media):
    needs = "file"

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        return _to_json({"text": reply.text} | ({"usage": _heard(ask, reply)} if usage else {}))

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        deltas = [{"type": "transcript.text.delta", "delta": piece} for piece in pieces(reply.text)]
        done: dict[str, Any] = {"type": "transcript.text.done", "text": reply.text}
        done |= {"usage": _heard(ask, reply)} if usage else {}
        return [_unnamed(event) for event in (*deltas, done)]


def _json(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"We could not parse the JSON body of your request: {error}") from error


def _form(body: bytes) -> dict[str, Any]:
    form = form_of(body)
    if form.state != "full":
        raise BadRequestError("We could not parse the form of your request.")
    return values_of(form)


def _picture(seed: str, number: int) -> str:
    """A PNG of eight by eight pixels in one grey."""
    grey = bytes([(int(seed[:2], 16) + number) % 256])
    header = pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    rows = compress((b"\0" + grey * 8) * 8)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    packed = [pack(">I", len(data)) + kind + data + pack(">I", crc32(kind + data)) for kind, data in chunks]
    return b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(packed)).decode()


def _sound(seed: str) -> bytes:
    """A WAV of mono 8-bit noise that comes from the seed."""
    samples = (bytes.fromhex(seed) * (_SAMPLES // 12 + 1))[:_SAMPLES]
    header = pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + _SAMPLES, b"WAVE", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", _SAMPLES
    )
    return header + samples


def _usage(reply: Reply) -> dict[str, Any]:
    prompt = reply.tokens.prompt
    details = {"text_tokens": prompt, "image_tokens": 0}
    return {"input_tokens": prompt, "output_tokens": 64, "total_tokens": prompt + 64, "input_tokens_details": details}


def _heard(ask: Ask, reply: Reply) -> dict[str, Any]:
    heard, said = 10 + reply.tokens.prompt, tokens_in(reply.text)
    return {"type": "tokens", "input_tokens": heard, "output_tokens": said, "total_tokens": heard + said}


def _named(event: dict[str, Any]) -> bytes:
    return b"event: %b\n%b" % (event["type"].encode(), _unnamed(event))


def _unnamed(event: dict[str, Any]) -> bytes:
    return b"data: " + _to_json(event) + b"\n\n"
