"""An item of a Realtime conversation, kept without its media and read into the neutral shape. No I/O."""

from typing import Any

import msgspec

from gateway.model.message import Blob, FinishReason, Message, Part, Text, ToolCall, ToolCallResponse
from gateway.providers.lenient import text_or_none
from gateway.providers.parts import arguments_of, blob, media, unknown, without_bytes
from gateway.providers.unread import shown_whole

_decode = msgspec.json.Decoder().decode
_TEXTS = frozenset({"input_text", "output_text", "text"})
_SOUNDS = frozenset({"input_audio", "output_audio", "audio"})


def lean(item: Any) -> Any:
    """The same item with size and hash in place of its media's bytes."""
    content = item.get("content") if isinstance(item, dict) else None
    if not isinstance(content, list):
        return without_bytes(item)
    return {**without_bytes(item), "content": [_lean_part(part) for part in content]}


def _lean_part(part: Any) -> Any:
    if isinstance(part, dict) and isinstance(part.get("audio"), str):
        return {**part, "audio": blob("audio", part["audio"], None)}
    return without_bytes(part)


@shown_whole
def read_item(raw: bytes) -> Message:
    """Raises ValueError for bytes that are no JSON."""
    return message_of(_decode(raw))


def message_of(item: Any) -> Message:
    if not isinstance(item, dict):
        return Message("", (unknown("item", item),))
    match item.get("type"):
        case "function_call_output":
            return Message("tool", (ToolCallResponse(item.get("output") or "", text_or_none(item.get("call_id"))),))
        case "message":
            return Message(text_or_none(item.get("role")) or "user", parts_of(item))
    return Message("assistant", parts_of(item))


def answer_of(items: list[Any], reason: FinishReason) -> Message:
    """A response's output as one message."""
    return Message("assistant", tuple(part for item in items for part in parts_of(item)), finish_reason=reason)


def parts_of(item: Any) -> tuple[Part, ...]:
    if not isinstance(item, dict):
        return (unknown("item", item),)
    match item.get("type"):
        case "function_call":
            name = item.get("name")
            call = text_or_none(item.get("call_id"))
            return (ToolCall(name if isinstance(name, str) else "", call, arguments_of(item.get("arguments"))),)
        case "message":
            content = item.get("content")
            parts = [_content(part) for part in content] if isinstance(content, list) else [(unknown("message", item),)]
            return tuple(part for several in parts for part in several)
    return (unknown(item.get("type"), lean(item)),)


def _content(part: Any) -> tuple[Part, ...]:
    if not isinstance(part, dict):
        return (unknown("content", part),)
    kind = part.get("type")
    if kind in _TEXTS and isinstance(part.get("text"), str):
        return (Text(part["text"]),)
    if kind in _SOUNDS:
        return _sound(part)
    image = part.get("image_url")
    if kind == "input_image" and image is not None:
        kept = _kept(image)
        if kept is not None:
            return (Blob("image", kept.mime_type, kept.sha256, kept.size),)
        if isinstance(image, str):
            return (media("image", image),)
    return (unknown(kind, part),)


def _sound(part: dict[str, Any]) -> tuple[Part, ...]:
    """What was said, where it was written down, and what stands for the sound."""
    transcript, audio = text_or_none(part.get("transcript")), part.get("audio")
    said: tuple[Part, ...] = (Text(transcript),) if transcript is not None else ()
    if isinstance(audio, str):
        return (*said, blob("audio", audio, None))
    kept = _kept(audio)
    if kept is not None:
        return (*said, kept)
    return said or (Blob("audio"),)


def _kept(value: Any) -> Blob | None:
    """The blob that `lean` left, as JSON has it."""
    if not isinstance(value, dict):
        return None
    try:
        return msgspec.convert(value, Blob)
    except msgspec.ValidationError:
        return None
