"""Items of OpenAI's Responses API, as requests and answers have them, to the neutral shape and nothing else.

A turn of the model is several items there (reasoning, text, calls) and one message here: items of the model that stand
beside each other are read together, so that an answer is the same message when the next request repeats it.
Left out are what only the provider can read, and an item's own id and status, which clients change as they repeat it.
"""

from collections.abc import Sequence
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
)
from gateway.providers.lenient import text_or_none
from gateway.providers.openai_message import content_parts
from gateway.providers.parts import arguments_of, blob, media, result_of, shallow, unknown, without_bytes
from gateway.providers.unread import shown_whole

_OF_THE_MODEL = frozenset({"reasoning", "compaction", "mcp_list_tools", "mcp_approval_request"})
"""Beside its calls, whose kinds all end in `_call`."""
_RUN_BY_CLIENTS = {"local_shell": "action", "apply_patch": "operation", "computer": "action"}
"""Built-in tools that the provider does not run itself, and the field with what to do."""
_CLIENT_CALLS = frozenset({"function_call", "custom_tool_call", *(f"{tool}_call" for tool in _RUN_BY_CLIENTS)})
_ITSELF = frozenset({"id", "call_id", "status", "type", "encrypted_content", "created_by", "caller"})
_SAID_BACK = frozenset({"results", "outputs", "output", "error"})
"""What the tool of a call answered, in the same item."""
_decode_any = msgspec.json.Decoder().decode


class Head(msgspec.Struct, gc=False):
    type: Any = None
    role: Any = None

    @property
    def of_the_model(self) -> bool:
        """Whether the item is a part of the model's own turn."""
        kind = self.type
        if not isinstance(kind, str) or kind == "message":
            return bool(self.role == "assistant")
        return kind in _OF_THE_MODEL or kind.endswith("_call")


def waits_for_client(item: Any) -> bool:
    """Whether it is a call that the model's client is to carry out."""
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    return (isinstance(kind, str) and kind in _CLIENT_CALLS) or _local(item)


def _local(item: dict[str, Any]) -> bool:
    """A tool that either side may run, where the client does; a shell's output does not say who ran it."""
    match item.get("type"):
        case "shell_call":
            environment = item.get("environment")
            return isinstance(environment, dict) and environment.get("type") == "local"
        case "tool_search_call" | "tool_search_output":
            return item.get("execution") == "client"
    return False


@shown_whole
def read_turn(raw: bytes) -> Message:
    """The message in this raw item, or in a list of them. Raises ValueError or RecursionError for no strict JSON."""
    said = _decode_any(raw)
    return message_of(said if isinstance(said, list) else [said])


def read_text(raw: bytes) -> Message:
    """What a user says in one string."""
    return Message("user", (Text(_decode_any(raw)),))


@shown_whole
def read_instructions(raw: bytes) -> Message:
    """A string; in an answer it may be a list of items."""
    said = _decode_any(raw)
    if isinstance(said, str):
        return Message("system", (Text(said),))
    return Message("system", message_of(said if isinstance(said, list) else [said]).parts)


def message_of(items: Sequence[Any], finish_reason: FinishReason | None = None, role: str = "") -> Message:
    """All these items as one message. `role` is what it has if the items do not tell."""
    parts = [part for item in items for part in parts_of(item)]
    return Message(_role(items, role), tuple(parts), finish_reason=finish_reason)


def _role(items: Sequence[Any], role: str) -> str:
    first = items[0] if items else None
    if not isinstance(first, dict):
        return role
    said, kind = first.get("role"), first.get("type")
    if isinstance(said, str):
        return said
    if isinstance(kind, str) and kind.endswith("_output"):
        return role or "tool"
    if kind == "agent_message":
        return role or "agent"
    return "assistant" if Head(kind).of_the_model else role


def parts_of(item: Any) -> list[Part]:
    if isinstance(item, str):
        return [Text(item)]
    if not isinstance(item, dict):
        return [unknown("item", item)]
    kind = item.get("type")
    call = text_or_none(item.get("call_id")) or text_or_none(item.get("id"))
    match kind:
        case "message" | "agent_message" | None if "content" in item:
            return _content(item["content"])
        case "reasoning":
            return _reasoning(item)
        case "function_call":
            return [ToolCall(_name(item), call, arguments_of(item.get("arguments")))]
        case "custom_tool_call":
            return [ToolCall(_name(item), call, shallow(item.get("input")))]
        case "function_call_output" | "custom_tool_call_output":
            return [ToolCallResponse(_output(item.get("output")), call)]
        case "local_shell_call" | "apply_patch_call" | "computer_call":
            tool = kind.removesuffix("_call")
            return [ToolCall(tool, call, _bare(item.get(_RUN_BY_CLIENTS[tool]) or item.get("actions")))]
        case "local_shell_call_output" | "apply_patch_call_output" | "computer_call_output":
            return [ToolCallResponse(_output(item.get("output") or item.get("status")), call)]
        case "shell_call" if _local(item):
            return [ToolCall("shell", call, _bare(item.get("action")))]
        case "tool_search_call" if _local(item):
            return [ToolCall("tool_search", call, arguments_of(item.get("arguments")))]
        case "tool_search_output" if _local(item):
            return [ToolCallResponse(_bare(item.get("tools")), call)]
        case "image_generation_call":
            return _image_generation(item, call)
        case "mcp_call":
            return _server_tool(item, _name(item), "mcp", call)
        case str() if kind.endswith("_call"):
            return _server_tool(item, kind.removesuffix("_call"), kind.removesuffix("_call"), call)
        case str() if kind.endswith("_call_output"):
            response = {"type": kind.removesuffix("_call_output"), "output": _bare(item.get("output"))}
            return [ServerToolCallResponse(response, call)]
        case "compaction":
            return [Compaction()]
        case "item_reference":
            return [Other(kind)]
    return [unknown(kind, item)]


def _name(item: dict[str, Any]) -> str:
    return text_or_none(item.get("name")) or ""


def _content(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    if not isinstance(content, list):
        return [] if content is None else [unknown("content", content)]
    return [_media(part) or content_parts([part])[0] for part in content]


def _media(part: Any) -> Part | None:
    """An image or a file where this API has them otherwise than Chat Completions."""
    if not isinstance(part, dict) or part.get("type") not in ("input_image", "input_file", "computer_screenshot"):
        return None
    modality = "document" if part["type"] == "input_file" else "image"
    if file_id := text_or_none(part.get("file_id")):
        return File(modality, file_id)
    if url := text_or_none(part.get("image_url")) or text_or_none(part.get("file_url")):
        return media(modality, url)
    if data := text_or_none(part.get("file_data")):
        return media(modality, data) if data[:5].lower() == "data:" else blob(modality, data, None)
    return None


def _reasoning(item: dict[str, Any]) -> list[Part]:
    """Summary and text as far as they are told; what is encrypted is only known to be there."""
    parts: list[Part] = []
    for field in ("summary", "content"):
        told = item.get(field)
        for each in told if isinstance(told, list) else () if told is None else (told,):
            text = each.get("text") if isinstance(each, dict) else each
            parts.append(Reasoning(text) if isinstance(text, str) else unknown("reasoning", each))
    return parts or [Other("reasoning")]


def _output(output: Any) -> Any:
    if output is None or isinstance(output, str):
        return output or ""
    return result_of(tuple(_content(output if isinstance(output, list) else [output])))


def _image_generation(item: dict[str, Any], call: str | None) -> list[Part]:
    asked = {key: _bare(value) for key, value in item.items() if key not in _ITSELF and key not in ("result", "error")}
    parts: list[Part] = [ServerToolCall("image_generation", call, {"type": "image_generation", **asked})]
    result, error = text_or_none(item.get("result")), item.get("error")
    if result is not None:
        image_format = text_or_none(item.get("output_format")) or "png"
        image = blob("image", result, f"image/{image_format}")
        parts.append(ServerToolCallResponse({"type": "image_generation", "result": image}, call))
    elif error is not None:
        parts.append(ServerToolCallResponse({"type": "image_generation", "error": _bare(error)}, call))
    return parts


def _server_tool(item: dict[str, Any], name: str, kind: str, call: str | None) -> list[Part]:
    """A call that the provider carries out, and what came of it."""
    asked: dict[str, Any] = {"type": kind}
    said_back: dict[str, Any] = {"type": kind}
    for key, value in item.items():
        if key in _SAID_BACK:
            if value is not None:
                said_back[key] = _bare(value)
        elif key not in _ITSELF and key != "name":
            asked[key] = arguments_of(value) if key == "arguments" else _bare(value)
    parts: list[Part] = [ServerToolCall(name, call, asked)]
    if len(said_back) > 1:
        parts.append(ServerToolCallResponse(said_back, call))
    return parts


def _bare(value: Any) -> Any:
    return without_bytes(shallow(value))
