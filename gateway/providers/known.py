"""Messages that were read before, by their raw bytes. Bounded in bytes, least recently used first out. No I/O.

Keyed by the bytes themselves, not by a hash of them: looking up costs one SipHash and one comparison, and nobody can
make a harmful message be taken for a harmless one by finding a collision.
"""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from gateway.model.message import (
    Entry,
    Message,
    Reasoning,
    ServerToolCall,
    ServerToolCallResponse,
    Text,
    ToolCall,
    ToolCallResponse,
)

_to_json = msgspec.json.Encoder().encode


def entry_of(message: Message) -> Entry:
    """The entry of a message, digest and readable texts worked out."""
    json = _to_json(message)
    return Entry(blake2b(json, digest_size=16).digest(), message.role, json, texts_of(message))


def texts_of(message: Message) -> tuple[str, ...]:
    """One string for each part that a detector can read, in order."""
    texts: list[str] = []
    for part in message.parts:
        if isinstance(part, Text | Reasoning):
            texts.append(part.content)
        elif isinstance(part, ToolCall):
            texts.append(_as_text(part.arguments))
        elif isinstance(part, ToolCallResponse):
            texts.append(_as_text(part.response))
        elif isinstance(part, ServerToolCall):
            texts.append(_as_text(part.server_tool_call))
        elif isinstance(part, ServerToolCallResponse):
            texts.append(_as_text(part.server_tool_call_response))
    return tuple(texts)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else _to_json(value).decode()


class KnownMessageCache:
    """Implements `KnownMessages` for one worker; not thread-safe."""

    def __init__(self, limit_bytes: int = 32 * 1024 * 1024) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def entry(self, raw: bytes, read: Callable[[bytes], Message]) -> Entry:
        found = self._entries.get(raw)
        if found is not None:
            self.hits += 1
            self._entries.move_to_end(raw)
            return found
        self.misses += 1
        made = entry_of(read(raw))
        self._entries[raw] = made
        self.bytes += len(raw) + made.size
        while self.bytes > self.limit_bytes and len(self._entries) > 1:
            old_raw, old = self._entries.popitem(last=False)
            self.bytes -= len(old_raw) + old.size
        return made
