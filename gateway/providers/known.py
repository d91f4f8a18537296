"""Messages that were read before, by their raw bytes. Bounded in bytes, least recently used first out. No I/O.

Keyed by the reader and the bytes themselves, not by a hash of them: looking up costs one SipHash and one comparison,
and nobody can make a harmful message be taken for a harmless one, by a collision or by sending it to another API first.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from gateway.model.message import (
    Compaction,
    Entry,
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

_to_json = msgspec.json.Encoder().encode
_Key = tuple[object, bytes]
ROLES = frozenset({"system", "developer", "user", "assistant", "agent", "tool", "function", ""})
"""What a role is supposed to be; some servers hand on any other to the model as it stands."""


def entry_of(message: Message | Unread) -> Entry:
    """The entry of a message, digest and readable texts worked out.

    Two entries have the same digest exactly if their neutral JSON is the same. An answer's entry has a finish reason in
    its JSON and the same answer repeated in the next request has none: apart from that the JSON of both is kept equal.
    """
    more: tuple[str, ...] = ()
    if isinstance(message, Unread):
        message, more = message
    json = _to_json(message)
    parts = message.parts
    # Most messages are one text: asked directly, a third of the time that the general way takes.
    plain = len(parts) == 1 and type(parts[0]) is Text and message.name is None and message.role in ROLES
    texts: tuple[str, ...] = (parts[0].content,) if plain else texts_of(message)  # type: ignore[union-attr, assignment]
    compacts = not plain and any(isinstance(part, Compaction) for part in parts)
    digest = blake2b(json, digest_size=16).digest()
    return Entry(digest, message.role, json, texts + more if more else texts, compacts, plain)


def texts_of(message: Message) -> tuple[str, ...]:
    """One string for each part that a detector can read, in order, then the names: a model reads those too."""
    return tuple([_as_text(value) for value in values_read(message)])


def values_read(message: Message) -> list[Any]:
    """The same before they are texts: strings, and values that are shown as their JSON."""
    values = [value for part in message.parts if (value := _value_read(part)) is not None]
    names = [part.name for part in message.parts if isinstance(part, ToolCall | ServerToolCall)]
    role = "" if message.role in ROLES else message.role
    return [*values, *filter(None, (role, message.name, *dict.fromkeys(names)))]


def _value_read(part: Part) -> Any:
    """What a detector reads of a part: None where there is nothing to read."""
    match part:
        case Text(content=value) | Reasoning(content=value) | Compaction(content=value):
            return value
        case ToolCall(arguments=value) | ToolCallResponse(response=value):
            return value if value is not None else "null"
        case ServerToolCall(server_tool_call=value) | ServerToolCallResponse(server_tool_call_response=value):
            return value if value is not None else "null"
        # A kind of part this version does not know may well carry text: not interpreted is not unseen.
        case Other(content=value):
            return value
    return None


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else _to_json(value).decode()


class KnownMessageCache:
    """Implements `KnownMessages` for one worker; not thread-safe."""

    def __init__(self, limit_bytes: int = 32 * 1024 * 1024) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.evicted = 0
        """Entries pushed out by newer ones, and those too large to be kept at all."""
        self._kept: OrderedDict[_Key, Entry | bytes] = OrderedDict()

    def entry(self, raw: bytes, read: Callable[[bytes], Message | Unread]) -> Entry:
        return self.entries([raw], read)[0]

    def entries(self, raws: Sequence[bytes], read: Callable[[bytes], Message | Unread]) -> list[Entry]:
        kept = self._kept
        found: list[Entry] = []
        missed = 0
        for raw in raws:
            key = (read, raw)
            entry = kept.get(key)
            # Asked once a message of every history: `_recall` inlined.
            if isinstance(entry, Entry):
                kept.move_to_end(key)
            else:
                self.misses += 1
                missed += 1
                entry = entry_of(read(raw))
                self._keep(key, entry, len(raw) + entry.size)
            found.append(entry)
        self.hits += len(found) - missed
        return found

    def blob(self, raw: bytes, read: Callable[[bytes], bytes]) -> bytes:
        key = (read, raw)
        found = self._recall(key)
        if isinstance(found, bytes):
            return found
        made = read(raw)
        self._keep(key, made, len(raw) + len(made))
        return made

    def counters(self) -> dict[str, int]:
        return {"hits": self.hits, "misses": self.misses, "evicted": self.evicted, "bytes": self.bytes}

    def _recall(self, key: _Key) -> Entry | bytes | None:
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return found

    def _keep(self, key: _Key, made: Entry | bytes, size: int) -> None:
        # One giant must not push everyone else's history out.
        if size > self.limit_bytes // 4:
            self.evicted += 1
            return
        self._kept[key] = made
        self.bytes += size
        if self.bytes > self.limit_bytes:
            self._make_room()

    def _make_room(self) -> None:
        while self.bytes > self.limit_bytes:
            (_, old_raw), old = self._kept.popitem(last=False)
            self.bytes -= len(old_raw) + (old.size if isinstance(old, Entry) else len(old))
            self.evicted += 1
