"""One message of OpenAI's Chat Completions, as requests and answers have it, to the neutral shape and nothing else.

Also what compatible servers add: reasoning under two names, thinking chunks, video, arguments as objects.
"""

from typing import Annotated, Any, Literal

import msgspec

from gateway.model.message import (
    File,
    FinishReason,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolCallResponse,
    Unread,
)
from gateway.providers.lenient import check_names, text_or_none
from gateway.providers.parts import arguments_of, blob, media, result_of, unknown
from gateway.providers.unread import ID, with_unread


class WireMessage(msgspec.Struct, gc=False):
    """Fields of every role; each may be of any type."""

    role: Any = None
    content: Any = None
    name: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None
    tool_call_id: Any = None
    function_call: Any = None
    audio: Any = None


class _PlainMessage(msgspec.Struct, forbid_unknown_fields=True):
    """What most messages are."""

    role: str
    content: str


class _UsualFunction(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class _UsualCall(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(pattern=ID)]
    type: Literal["function"]
    function: _UsualFunction


class _UsualMessage(msgspec.Struct, forbid_unknown_fields=True):
    """What an agent's other messages are: calls of functions, and their results. All of it is read."""

    role: Literal["assistant", "tool"]
    content: str | None = None
    tool_call_id: Annotated[str, msgspec.Meta(pattern=ID)] = ""
    tool_calls: list[_UsualCall] = []

    @property
    def read_whole(self) -> bool:
        return not (self.tool_calls if self.role == "tool" else self.tool_call_id)


_decode_plain = msgspec.json.Decoder(_PlainMessage).decode
_decode_usual = msgspec.json.Decoder(_UsualMessage).decode
_decode = msgspec.json.Decoder(WireMessage).decode
_decode_any = msgspec.json.Decoder().decode
_QUOTES = 8
_RESULT_ROLES = ("tool", "function")


def read_message(raw: bytes) -> Message | Unread:
    """The message in this raw JSON. Raises ValueError or RecursionError for bytes that are no strict JSON."""
    try:
        plain = _decode_plain(raw)
    except msgspec.ValidationError:
        return _read_usual(raw)
    # SECURITY: two names once each, and no more: n of them have 4n quotes, of which n at most follow a backslash.
    if raw.count(b'"') - raw.count(b'\\"') != _QUOTES:
        return with_unread(_read_any(raw), raw)
    # A typed decoder does in one call what `neutral` does in six; a refusal costs 1 µs, once a message.
    if plain.content and plain.role not in _RESULT_ROLES:
        return Message(plain.role, (Text(plain.content),))
    return neutral(WireMessage(plain.role, plain.content))


def _read_usual(raw: bytes) -> Message | Unread:
    """Where the shape itself says that nothing is left unread, only the names need to be looked at."""
    try:
        whole = _decode_usual(raw).read_whole
    except msgspec.ValidationError:
        whole = False
    message = _read_any(raw)
    if not whole:
        return with_unread(message, raw)
    check_names(raw, _decode_any(raw))
    return message


def _read_any(raw: bytes) -> Message:
    try:
        return neutral(_decode(raw))
    except msgspec.ValidationError:
        return Message("", (unknown("message", _decode_any(raw)),))


def neutral(wire: WireMessage, finish_reason: FinishReason | None = None, role: str = "") -> Message:
    """`role` is what a message without one has."""
    if isinstance(wire.role, str):
        role = wire.role
    name = None if wire.name is None else text_or_none(wire.name)
    if role in _RESULT_ROLES:
        call = text_or_none(wire.tool_call_id) or name
        return Message(role, (ToolCallResponse(_result(wire.content), call),), name)
    return Message(role, _parts(wire), name, finish_reason)


def _parts(wire: WireMessage) -> tuple[Part, ...]:
    content = wire.content
    parts: list[Part] = []
    reasoning = wire.reasoning_content or wire.reasoning
    if reasoning:
        parts.append(Reasoning(reasoning) if isinstance(reasoning, str) else unknown("reasoning", reasoning))
    if isinstance(content, str):
        if content:
            parts.append(Text(content))
    elif content is not None:
        parts += content_parts(content)
    if wire.refusal:
        parts.append(Text(wire.refusal) if isinstance(wire.refusal, str) else unknown("refusal", wire.refusal))
    if wire.audio is not None:
        parts += _audio(wire.audio)
    if wire.tool_calls:
        parts += _tool_calls(wire.tool_calls)
    if wire.function_call:
        parts.append(_function("function_call", wire.function_call, None))
    return tuple(parts)


def content_parts(content: Any) -> list[Part]:
    """The parts of a `content` that is a list; anything else is one part of an unknown kind."""
    if not isinstance(content, list):
        return [unknown("content", content)]
    return [_content_part(part) for part in content]


def _content_part(part: Any) -> Part:
    if isinstance(part, str):
        return Text(part)
    if not isinstance(part, dict):
        return unknown("content", part)
    kind = part.get("type")
    held = part.get(kind) if isinstance(kind, str) else None
    match kind:
        case "text" | "refusal" | "input_text" | "output_text":
            text = part.get("text") if kind != "refusal" else held
            return Text(text) if isinstance(text, str) else unknown(kind, part)
        case "image_url" | "video_url" | "audio_url":
            url = held.get("url") if isinstance(held, dict) else held
            return media(kind[:5], url) if isinstance(url, str) else unknown(kind, part)
        case "document_url" if isinstance(held, str):  # Mistral
            return media("document", held)
        case "input_audio":
            return _input_audio(held) or unknown(kind, part)
        case "file":
            return _file(held if held is not None else part) or unknown(kind, part)
        case "thinking":
            return Reasoning(_thinking(held)) if held else unknown(kind, part)
    return unknown(kind, part)


def _input_audio(held: Any) -> Part | None:
    if isinstance(held, str) and held:  # Mistral: an address, or base64 without a type
        return media("audio", held) if ":" in held[:12] else blob("audio", held, None)
    if not isinstance(held, dict) or not isinstance(held.get("data"), str):
        return None
    sound_format = text_or_none(held.get("format"))
    return blob("audio", held["data"], f"audio/{sound_format}" if sound_format else None)


def _file(held: Any) -> Part | None:
    if not isinstance(held, dict):
        return None
    if file_id := text_or_none(held.get("file_id")):
        return File("document", file_id)
    data = text_or_none(held.get("file_data"))
    if data is None:
        return None
    return media("document", data) if data[:5].lower() == "data:" else blob("document", data, None)


def _thinking(held: Any) -> str:
    """Mistral: a list of text chunks."""
    if isinstance(held, str):
        return held
    return "".join([part.content for part in content_parts(held) if isinstance(part, Text)])


def _audio(audio: Any) -> list[Part]:
    """An answer's speech: transcript and bytes; in a later request only its id."""
    if not isinstance(audio, dict):
        return [unknown("audio", audio)]
    parts: list[Part] = []
    if transcript := text_or_none(audio.get("transcript")):
        parts.append(Text(transcript))
    if data := text_or_none(audio.get("data")):
        parts.append(blob("audio", data, None))
    elif audio_id := text_or_none(audio.get("id")):
        parts.append(File("audio", audio_id))
    return parts


def _tool_calls(calls: Any) -> list[Part]:
    if not isinstance(calls, list):
        return [unknown("tool_calls", calls)]
    parts: list[Part] = []
    for call in calls:
        if isinstance(call, dict):
            kind = "custom" if "custom" in call else "function"
            parts.append(_function(kind, call.get(kind), text_or_none(call.get("id"))))
        else:
            parts.append(unknown("tool_call", call))
    return parts


def _function(kind: str, function: Any, call: str | None) -> Part:
    if not isinstance(function, dict):
        return unknown(kind, function)
    arguments = function.get("input") if kind == "custom" else arguments_of(function.get("arguments"))
    name = function.get("name")
    return ToolCall(name if isinstance(name, str) else "", call, arguments)


def _result(content: Any) -> Any:
    if content is None or isinstance(content, str):
        return content or ""
    parts = tuple(content_parts(content))
    return result_of(parts)
