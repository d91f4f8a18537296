"""The tool calls that messages have, and the tools that a request offers. Read once a message. Judges nothing."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from gateway.contracts import Call
from gateway.model.message import Entry, Message, ServerToolCall, ToolCall

_NOTE = "policy.tool_calls"
_MARK = b'tool_call"'
"""In the JSON of every message that has a call; a text with it in has the quote escaped."""
_MOST_TOOLS = 1_000
_to_message = msgspec.json.Decoder(Message).decode
_to_json = msgspec.json.Encoder(order="deterministic").encode


def calls_in(entries: Sequence[Entry]) -> list[Call]:
    """In order; also those of tools that the provider runs itself."""
    calls: list[Call] = []
    for entry in entries:
        if _MARK in entry.json:
            calls += _calls_of(entry)
    return calls


def _calls_of(entry: Entry) -> tuple[Call, ...]:
    known: tuple[Call, ...] | None = entry.notes.get(_NOTE)
    if known is None:
        parts = _to_message(entry.json).parts
        known = entry.notes[_NOTE] = tuple(
            [
                call_of(part.name, part.arguments if isinstance(part, ToolCall) else part.server_tool_call)
                for part in parts
                if isinstance(part, ToolCall | ServerToolCall)
            ]
        )
    return known


def call_of(name: str, arguments: Any) -> Call:
    said = blake2b(name.encode("utf-8", "replace") + b"\0" + _to_json(arguments), digest_size=16)
    return Call(name, arguments, said.digest())


class _Function(msgspec.Struct):
    name: str = ""


class _Tool(msgspec.Struct):
    """As the conventions have it, flat; as OpenAI's Chat Completions has it, under `function`."""

    name: str = ""
    type: str = ""
    function: _Function | None = None


_to_tools = msgspec.json.Decoder(list[_Tool], strict=False).decode


def offered_tools(definitions: bytes | None) -> list[str]:
    """Names in `gen_ai.tool.definitions`; a tool without one goes by its type. What cannot be read offers nothing."""
    if not definitions:
        return []
    try:
        tools = _to_tools(definitions)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
    names = [(each.function.name if each.function is not None else "") or each.name or each.type for each in tools]
    return [name for name in names[:_MOST_TOOLS] if name]
