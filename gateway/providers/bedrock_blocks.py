"""Messages and content blocks of Bedrock's Converse API to the neutral shape and nothing else.

A block is an object with one key, which is its kind. Signatures, citations and caching marks are left out: they are
not what was said, and marks move between turns. Source: the `bedrock-runtime` model of botocore 1.44.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.model.message import (
    FinishReason,
    Message,
    Other,
    Part,
    Reasoning,
    ServerToolCall,
    ServerToolCallResponse,
    Text,
    ToolCall,
    ToolCallResponse,
    Uri,
)
from gateway.providers.lenient import text_or_none
from gateway.providers.message_reader import reader_of
from gateway.providers.parts import arguments_of, blob, result_of, shallow, unknown, without_bytes
from gateway.providers.unread import shown_whole

_MIME_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
    "csv": "text/csv",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "wmv": "video/x-ms-wmv",
    "flv": "video/x-flv",
    "three_gp": "video/3gpp",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
}
"""Of formats whose name and modality alone do not make their type."""


class WireMessage(msgspec.Struct, gc=False):
    role: Any = None
    content: Any = None


_decode_any = msgspec.json.Decoder().decode
_to_json = msgspec.json.Encoder().encode


def _message(wire: WireMessage) -> Message:
    return neutral(wire.role, wire.content)


read_message = reader_of(WireMessage, _message)


@shown_whole
def read_system(raw: bytes) -> Message:
    """One block of the system instructions."""
    return Message("system", tuple(parts_of([_decode_any(raw)])))


def neutral(role: Any, content: Any, finish_reason: FinishReason | None = None) -> Message:
    parts = tuple(parts_of(content))
    name = role if isinstance(role, str) else ""
    if parts and all(isinstance(part, ToolCallResponse) for part in parts):
        name = "tool"
    return Message(name, parts, finish_reason=finish_reason)


def parts_of(content: Any) -> list[Part]:
    """The parts of a `content`, which is a list of blocks; a string is taken for one of text."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    if not isinstance(content, list):
        return [] if content is None else [unknown("content", content)]
    return [part for block in content for part in _block(block)]


def _block(block: Any) -> list[Part]:
    if not isinstance(block, dict):
        return [Text(block) if isinstance(block, str) else unknown("content", block)]
    kinds = [kind for kind in block if kind in _READERS]
    if not kinds:
        return [unknown(next(iter(block), None), block)]
    parts: list[Part] = []
    for kind in kinds:
        parts += _READERS[kind](kind, block[kind])
    # A block with more than its kind is refused by AWS; still it is seen.
    if len(kinds) < len(block) and (rest := {key: value for key, value in block.items() if key not in kinds}):
        parts.append(unknown(next(iter(rest)), rest))
    return parts


def _text(kind: str, value: Any) -> list[Part]:
    if not isinstance(value, str):
        return [unknown(kind, {kind: value})]
    return [Text(value)] if value else []


def _media(kind: str, value: Any) -> list[Part]:
    """An image, document, video or sound by its source. A document's name, context and text are read by the model."""
    if not isinstance(value, dict):
        return [unknown(kind, {kind: value})]
    parts: list[Part] = [Text(text) for field in ("name", "context") if (text := text_or_none(value.get(field)))]
    source = value.get("source")
    match source:
        case {"bytes": str(data)}:
            return [*parts, blob(kind, data, _mime_type(kind, value.get("format")))]
        case {"s3Location": {"uri": str(uri)}}:
            return [*parts, Uri(kind, uri)]
        case {"text": str(text)}:
            return [*parts, Text(text)]
        case {"content": list(content)}:
            return [*parts, *parts_of([block for block in content if not _is_media(block)])]
    return [*parts, unknown(kind, {kind: value})]


def _is_media(block: Any) -> bool:
    """A document's content is text alone: another document inside it is not followed down."""
    return isinstance(block, dict) and any(_READERS.get(kind) is _media for kind in block)


def _mime_type(kind: str, name: Any) -> str | None:
    if not isinstance(name, str):
        return None
    return _MIME_TYPES.get(name) or (f"{kind}/{name}" if kind in ("video", "audio") else None)


def _tool_use(kind: str, value: Any) -> list[Part]:
    if not isinstance(value, dict):
        return [unknown(kind, {kind: value})]
    name, call_id = text_or_none(value.get("name")) or "", text_or_none(value.get("toolUseId"))
    arguments = arguments_of(value.get("input"))
    if value.get("type") == "server_tool_use":
        return [ServerToolCall(name, call_id, {"type": name, "input": arguments})]
    return [ToolCall(name, call_id, arguments)]


def _tool_result(kind: str, value: Any) -> list[Part]:
    if not isinstance(value, dict):
        return [unknown(kind, {kind: value})]
    call_id, content = text_or_none(value.get("toolUseId")), value.get("content")
    if said := text_or_none(value.get("type")):  # of a tool that the provider runs itself
        response = {"type": said, "content": without_bytes(shallow(content))}
        return [ServerToolCallResponse(response, call_id)]
    match content:
        case [{"json": result}] if len(content[0]) == 1:
            return [ToolCallResponse(shallow(result), call_id)]
        case list():
            return [ToolCallResponse(result_of(tuple(part for item in content for part in _result(item))), call_id)]
        case None | str():
            return [ToolCallResponse(content or "", call_id)]
    return [ToolCallResponse(without_bytes(shallow(content)), call_id)]


def _result(item: Any) -> list[Part]:
    """One of several results: JSON among others is its text."""
    if isinstance(item, dict) and len(item) == 1 and "json" in item:
        return [Text(_to_json(item["json"]).decode())]
    # A result inside a result is none of the API's: seen, not followed down.
    return [unknown("toolResult", item)] if isinstance(item, dict) and "toolResult" in item else _block(item)


def _reasoning(kind: str, value: Any) -> list[Part]:
    match value:
        case {"reasoningText": {"text": str(text)}}:
            return [Reasoning(text)]
        case {"redactedContent": _}:
            return [Other("redactedContent")]
    return [unknown(kind, {kind: value})]


def _guarded(kind: str, value: Any) -> list[Part]:
    """What a guardrail is to look at; the model reads it as if it stood there plainly."""
    match value:
        case {"text": {"text": str(text)}}:
            return [Text(text)]
        case {"image": image}:
            return _media("image", image)
    return [unknown(kind, {kind: value})]


def _cited(kind: str, value: Any) -> list[Part]:
    match value:
        case {"content": list(content)}:
            return parts_of([block for block in content if isinstance(block, dict) and set(block) == {"text"}])
    return [unknown(kind, {kind: value})]


def _nothing(kind: str, value: Any) -> list[Part]:
    return []


_READERS: dict[str, Callable[[str, Any], list[Part]]] = {
    "text": _text,
    "image": _media,
    "document": _media,
    "video": _media,
    "audio": _media,
    "toolUse": _tool_use,
    "toolResult": _tool_result,
    "reasoningContent": _reasoning,
    "guardContent": _guarded,
    "citationsContent": _cited,
    "cachePoint": _nothing,
}
