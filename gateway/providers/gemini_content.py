"""Contents and parts of Google's generateContent to the neutral shape and nothing else.

Thought signatures are left out: they are not what was said. Source: google-genai 3.6 (`types.Content`, `types.Part`).
"""

from typing import Any

import msgspec

from gateway.model.message import (
    FinishReason,
    Message,
    Part,
    Reasoning,
    ServerToolCall,
    ServerToolCallResponse,
    Text,
    ToolCall,
    ToolCallResponse,
)
from gateway.providers.google_names import camel, camel_keys
from gateway.providers.lenient import text_or_none
from gateway.providers.parts import arguments_of, blob, media, shallow, unknown, without_bytes
from gateway.providers.unread import shown_whole

_ROLES = {"model": "assistant", "function": "tool"}
_BESIDE = frozenset({"thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"})
"""Fields of a part that say something about it, not in it."""
_CODE = "code_execution"

_decode_any = msgspec.json.Decoder().decode


@shown_whole
def read_content(raw: bytes) -> Message:
    """The content in this raw JSON. Raises ValueError or RecursionError for bytes that are no strict JSON."""
    return content_of(raw)


@shown_whole
def read_system(raw: bytes) -> Message:
    return Message("system", content_of(raw).parts)


def content_of(raw: msgspec.Raw | bytes) -> Message:
    content = _decode_any(raw)
    if isinstance(content, str):
        return Message("user", (Text(content),))
    if not isinstance(content, dict):
        return Message("", (unknown("content", content),))
    return neutral(content.get("role"), parts_of(content.get("parts")), "user")


def neutral(role: Any, parts: tuple[Part, ...], default: str, finish_reason: FinishReason | None = None) -> Message:
    """`default` is the role of a content without one."""
    name = role if isinstance(role, str) and role else default
    if parts and all(isinstance(part, ToolCallResponse) for part in parts):
        name = "tool"
    return Message(_ROLES.get(name, name), parts, finish_reason=finish_reason)


def parts_of(parts: Any) -> tuple[Part, ...]:
    if parts is None:
        return ()
    found: list[Part] = []
    for part in parts if isinstance(parts, list) else [parts]:
        found += read_part(part)
    return tuple(found)


def read_part(said: Any) -> list[Part]:
    """A part holds one thing; where it holds several, each is one."""
    if isinstance(said, str):
        return [Text(said)]
    if not isinstance(said, dict):
        return [unknown("part", said)]
    # Named apart, not by `camel_keys`: where a kind comes in both spellings, both are seen.
    named = [(camel(name), held) for name, held in said.items()]
    return [read for kind, held in named if kind not in _BESIDE for read in _held(kind, held, said)]


def _held(kind: str, held: Any, part: dict[str, Any]) -> list[Part]:
    if kind == "text" and isinstance(held, str):
        if not held:
            return []
        return [Reasoning(held) if part.get("thought") is True else Text(held)]
    if held is None:
        return []
    fields = camel_keys(held) if isinstance(held, dict) else {}
    match kind:
        case "functionCall" if fields:
            arguments = fields.get("args")
            return [ToolCall(_name(fields), _id(fields), {} if arguments is None else arguments_of(arguments))]
        case "functionResponse" if fields:
            return [ToolCallResponse(_response(fields), _id(fields) or text_or_none(fields.get("name")))]
        case "inlineData" if isinstance(data := fields.get("data"), str):
            mime_type = text_or_none(fields.get("mimeType"))
            return [blob(_modality(mime_type), data, mime_type)]
        case "fileData" if uri := text_or_none(fields.get("fileUri")):
            return [media(_modality(text_or_none(fields.get("mimeType"))), uri)]
        case "executableCode" if fields:
            return [ServerToolCall(_CODE, _id(fields), {"type": _CODE, **_only(fields, "language", "code")})]
        case "codeExecutionResult" if fields:
            return [ServerToolCallResponse({"type": _CODE, **_only(fields, "outcome", "output")}, _id(fields))]
        case "toolCall" if fields:
            name = text_or_none(fields.get("toolType")) or ""
            return [ServerToolCall(name, _id(fields), {"type": name, "input": arguments_of(fields.get("args"))})]
        case "toolResponse" if fields:
            response = {"type": fields.get("toolType"), "content": without_bytes(shallow(fields.get("response")))}
            return [ServerToolCallResponse(shallow(response), _id(fields))]
    return [unknown(kind, {kind: held})]


def _name(fields: dict[str, Any]) -> str:
    return text_or_none(fields.get("name")) or ""


def _id(fields: dict[str, Any]) -> str | None:
    return text_or_none(fields.get("id"))


def _only(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: without_bytes(shallow(fields[name])) for name in names if name in fields}


def _response(fields: dict[str, Any]) -> Any:
    """What a function returned: its object, and behind it the media that came with it."""
    response = without_bytes(shallow(fields.get("response")))
    if isinstance(response, dict) and len(response) == 1 and isinstance(said := response.get("result"), str):
        response = said  # how Google's own SDK wraps a plain text
    parts = fields.get("parts")
    return response if not parts else [response, *parts_of(parts)]


def _modality(mime_type: str | None) -> str:
    kind = (mime_type or "").partition("/")[0].lower()
    return kind if kind in ("image", "audio", "video") else "document"
