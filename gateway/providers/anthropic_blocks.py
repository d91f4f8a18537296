"""Messages and content blocks of Anthropic's Messages API to the neutral shape and nothing else.

Signatures, citations and caching marks are left out: they are not what was said, and marks move between turns.
"""

from typing import Any

import msgspec

from gateway.model.message import (
    Compaction,
    File,
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
    Unread,
)
from gateway.providers.lenient import text_or_none
from gateway.providers.parts import arguments_of, blob, media, result_of, shallow, unknown, without_bytes
from gateway.providers.unread import with_unread

_SOURCE_LIMIT = 8
"""How many documents may stand inside each other."""


class WireMessage(msgspec.Struct, gc=False):
    role: Any = None
    content: Any = None


_decode = msgspec.json.Decoder(WireMessage).decode
_decode_any = msgspec.json.Decoder().decode


def read_message(raw: bytes) -> Message | Unread:
    """The message in this raw JSON. Raises ValueError or RecursionError for bytes that are no strict JSON."""
    try:
        wire = _decode(raw)
    except msgspec.ValidationError:
        return with_unread(Message("", (unknown("message", _decode_any(raw)),)), raw)
    return with_unread(neutral(wire.role, wire.content), raw)


def read_system(raw: bytes) -> Message | Unread:
    """A system instruction: a string or one block."""
    content = _decode_any(raw)
    message = Message("system", tuple(parts_of(content if isinstance(content, str | list) else [content])))
    return with_unread(message, raw)


def neutral(role: Any, content: Any, finish_reason: FinishReason | None = None) -> Message:
    parts = tuple(parts_of(content))
    name = role if isinstance(role, str) else ""
    if parts and all(isinstance(part, ToolCallResponse) for part in parts):
        name = "tool"
    return Message(name, parts, finish_reason=finish_reason)


def parts_of(content: Any, depth: int = 0) -> list[Part]:
    """The parts of a `content`, which is a string or a list of blocks; anything else is one of an unknown kind."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    if not isinstance(content, list):
        return [] if content is None else [unknown("content", content)]
    parts: list[Part] = []
    for block in content:
        if isinstance(block, dict):
            parts += _block(block, depth)
        else:
            parts.append(Text(block) if isinstance(block, str) else unknown("content", block))
    return parts


def _block(block: dict[str, Any], depth: int) -> list[Part]:
    kind = block.get("type")
    match kind:
        case "text" if isinstance(text := block.get("text"), str):
            return [Text(text)] if text else []
        case "thinking" if isinstance(thinking := block.get("thinking"), str):
            return [Reasoning(thinking)]
        case "compaction" if isinstance(summary := block.get("content"), str):  # null: it failed
            return [Compaction(summary)]
        case "redacted_thinking":
            return [Other(kind)]
        case "tool_use":
            return [ToolCall(_name(block), text_or_none(block.get("id")), arguments_of(block.get("input")))]
        case "tool_result":
            return [ToolCallResponse(_result(block.get("content"), depth), text_or_none(block.get("tool_use_id")))]
        case "image" | "document":
            return _media(kind, block, depth)
        case "container_upload" if file_id := text_or_none(block.get("file_id")):
            return [File("document", file_id)]
        case "server_tool_use" | "mcp_tool_use":
            return [_server_call(block)]
        case str() if kind.endswith("_tool_result"):
            response = {"type": kind, "content": without_bytes(shallow(block.get("content")))}
            return [ServerToolCallResponse(response, text_or_none(block.get("tool_use_id")))]
    return [unknown(kind, block)]


def _name(block: dict[str, Any]) -> str:
    return text_or_none(block.get("name")) or ""


def _result(content: Any, depth: int) -> Any:
    if content is None or isinstance(content, str):
        return content or ""
    return result_of(tuple(parts_of(content, depth)))


def _server_call(block: dict[str, Any]) -> ServerToolCall:
    name = _name(block)
    call = {"type": name, "input": arguments_of(block.get("input"))}
    if server := text_or_none(block.get("server_name")):
        call["server_name"] = server
    return ServerToolCall(name, text_or_none(block.get("id")), call)


def _media(kind: str, block: dict[str, Any], depth: int) -> list[Part]:
    """An image or document by its source. A document's title, context and plain text are read by the model: text."""
    source = block.get("source")
    parts: list[Part] = [Text(text) for field in ("title", "context") if (text := text_or_none(block.get(field)))]
    if not isinstance(source, dict) or depth >= _SOURCE_LIMIT:
        return [*parts, unknown(kind, block)]
    data, media_type = source.get("data"), text_or_none(source.get("media_type"))
    match source.get("type"):
        case "base64" if isinstance(data, str):
            return [*parts, blob(kind, data, media_type)]
        case "text" if isinstance(data, str):
            return [*parts, Text(data)]
        case "url" if isinstance(url := source.get("url"), str):
            return [*parts, media(kind, url)]
        case "file" if file_id := text_or_none(source.get("file_id")):
            return [*parts, File(kind, file_id)]
        case "content":
            return [*parts, *parts_of(source.get("content"), depth + 1)]
    return [*parts, unknown(kind, block)]
