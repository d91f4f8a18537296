"""Stored messages as a person reads them: what a turn added, a message's parts as text. Pure; trusts nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

from gateway.store.found import ExchangeRow, MessageRow, Turn

PartKind = Literal["text", "reasoning", "call", "result", "media", "absent"]
EVENT_TYPES = {
    "user": "user_llm",
    "agent": "agent_llm",
    "tool": "agent_tool",
    "memory": "agent_mem",
    "llm": "agent_llm",
}


@dataclass(slots=True, frozen=True)
class ReadPart:
    kind: PartKind
    label: str
    """What it is, where that is not plain text: `tool call search`, `image/png, 12345 bytes`."""
    text: str


@dataclass(slots=True, frozen=True)
class ReadMessage:
    role: str
    parts: list[ReadPart]


def status_of(exchange: ExchangeRow) -> str:
    """`completed`, `rejected` or `escalated`."""
    if exchange.rejected:
        return "rejected"
    return "escalated" if exchange.outcome == "escalated" else "completed"


def added(turn: Turn) -> list[ReadMessage]:
    """What this turn's input added to the conversation.

    The model's own last answer comes back in the next request, spelled by the client, so it looks new; it was shown as
    the previous response.
    """
    start = 0
    if turn.exchange.new_from and not turn.omitted:
        while start < len(turn.inputs) and _role(turn.inputs[start]) == "assistant":
            start += 1
    return [read(message) for message in turn.inputs[start:]]


def answered(turn: Turn) -> list[ReadMessage]:
    return [read(message) for message in turn.outputs]


def read(message: MessageRow | None) -> ReadMessage:
    if message is None:
        return ReadMessage("unknown", [ReadPart("absent", "no longer stored", "")])
    if not message.json:
        return ReadMessage(message.role, [ReadPart("absent", "content is not stored", "")])
    try:
        parts = _read_message(message.json).parts
    except msgspec.MsgspecError:
        return ReadMessage(message.role, [ReadPart("absent", "content cannot be read", "")])
    return ReadMessage(message.role, [_read_part(part) for part in parts])


def moment(unix_ns: int) -> str:
    """RFC 3339, UTC, milliseconds."""
    try:
        when = datetime.fromtimestamp(unix_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dollars(usd: float | None, unpriced: int = 0) -> str:
    """`unpriced`: of how many calls more the cost is not known. A dash where it is of none."""
    if usd is None:
        return "–"
    least = "≥ " if unpriced else ""
    if usd >= 1:
        return f"{least}${usd:,.2f}"
    return f"{least}${usd:.4f}" if usd >= 0.0001 or usd == 0 else f"{least}${usd:.9f}".rstrip("0")


class _Message(msgspec.Struct):
    parts: list[dict[str, object]] = []


_read_message = msgspec.json.Decoder(_Message).decode


def _role(message: MessageRow | None) -> str:
    return message.role if message is not None else ""


def _read_part(part: dict[str, object]) -> ReadPart:
    name = _text(part.get("name"))
    match part.get("type"):
        case "text":
            return ReadPart("text", "", _text(part.get("content")))
        case "compaction":
            return ReadPart("text", "compaction", _text(part.get("content")))
        case "reasoning":
            return ReadPart("reasoning", "reasoning", _text(part.get("content")))
        case "tool_call":
            return ReadPart("call", f"tool call {name}", _text(part.get("arguments")))
        case "server_tool_call":
            return ReadPart("call", f"server tool call {name}", _text(part.get("server_tool_call")))
        case "tool_call_response":
            return ReadPart("result", "tool result", _text(part.get("response")))
        case "server_tool_call_response":
            return ReadPart("result", "server tool result", _text(part.get("server_tool_call_response")))
        case "blob":
            kind = _text(part.get("mime_type") or part.get("modality"))
            return ReadPart("media", f"{kind}, {_text(part.get('size')) or '?'} bytes", "")
        case "uri":
            return ReadPart("media", _text(part.get("modality")), _text(part.get("uri")))
        case "file":
            return ReadPart("media", "file", _text(part.get("file_id")))
        case other:
            return ReadPart("media", _text(part.get("kind") or other), _text(part.get("content")))


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
