"""How much of a span's content one exporter may have, and how content is cut so that it stays valid JSON. No I/O."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from gateway.model.span import Content

Messages = Literal["full", "new", "none"]
MESSAGE_CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ON = frozenset({"SPAN_ONLY", "SPAN_AND_EVENT", "TRUE", "1"})
_MARK = "…[cut {} bytes]…"
_SMALLEST_CUT = 64
"""Shorter texts (roles, types, ids) are left alone: the mark alone takes up to 30 bytes."""

_to_json = msgspec.json.Encoder().encode


def messages_from_environment(value: str | None) -> Messages:
    """The variable every GenAI instrumentation reads; its default, as the conventions ask, is to send no content."""
    return "full" if value is not None and value.strip().upper() in _ON else "none"


@dataclass(slots=True, frozen=True)
class Capture:
    """One exporter's share of the content."""

    messages: Messages = "none"
    """`new` sends only what the parent exchange did not have."""
    limit: int | None = None
    """Bytes an attribute's value may have; the newest items stay."""
    openinference: bool = False
    """The latest input and the answer a second time, as `input.value` and `output.value`."""

    def items(self, content: Content) -> list[bytes]:
        """The items that may leave, oldest first; none means no attribute."""
        if self.messages == "none":
            return []
        items = content.items[content.new_from :] if self.messages == "new" else content.items
        if self.limit is None or _value_size(items) <= self.limit:
            return items
        return _newest(items, self.limit)


def _value_size(items: list[bytes]) -> int:
    """Of `[` + `,`.join(items) + `]`."""
    return sum(map(len, items)) + max(0, len(items) - 1) + 2


def _newest(items: list[bytes], limit: int) -> list[bytes]:
    """As many whole items as fit, from the end; a newest one that is too large alone is cut inside."""
    room = limit - 2
    kept = len(items)
    while kept > 0 and len(items[kept - 1]) <= room:
        kept -= 1
        room -= len(items[kept]) + 1
    if kept < len(items):
        return items[kept:]
    smaller = shortened(items[-1], limit - 2)
    return [smaller] if smaller else []


def shortened(item: bytes, limit: int) -> bytes:
    """The same JSON (one value, or several with commas between) in `limit` bytes, its longest texts cut in the middle;
    empty if even that cannot fit. One pass, however the item is built: this runs on the worker's loop."""
    try:
        root: list[Any] = msgspec.json.decode(b"[" + item + b"]")
        excess = len(item) - limit
        for holder, key in sorted(_long_texts(root), key=lambda place: -len(place[0][place[1]])):
            if excess <= 0:
                break
            text = holder[key]
            holder[key] = _cut_middle(text, excess)
            excess -= len(_to_json(text)) - len(_to_json(holder[key]))
        smaller = _to_json(root)[1:-1]
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return b""
    return smaller if len(smaller) <= limit else _husk(root, len(item), limit)


def _long_texts(root: list[Any]) -> list[tuple[Any, Any]]:
    """Where the texts stand that are worth cutting, as (list or dict, index or key)."""
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [root]
    while waiting:
        holder = waiting.pop()
        for key, value in enumerate(holder) if isinstance(holder, list) else holder.items():
            if isinstance(value, str):
                if len(value) > _SMALLEST_CUT:
                    places.append((holder, key))
            elif isinstance(value, list | dict):
                waiting.append(value)
    return places


def _cut_middle(text: str, excess: int) -> str:
    """Shorter by at least `excess` bytes if the text has that many, else nothing but the mark."""
    # An escape or a multi-byte character makes a character several bytes long; a character a byte is always enough.
    half = max(0, len(text) - excess - len(_MARK) - 12) // 2
    head, tail = text[:half], text[len(text) - half :]
    dropped = len(text.encode()) - len(head.encode()) - len(tail.encode())
    return head + _MARK.format(dropped) + tail


def _husk(root: list[Any], size: int, limit: int) -> bytes:
    """What stays of a message whose weight is not in its texts: who spoke, how it ended, and that it was cut."""
    last = root[-1]
    if not isinstance(last, dict) or "parts" not in last:
        return b""
    husk = {key: last[key] for key in ("role", "finish_reason") if isinstance(last.get(key), str)}
    husk["parts"] = [{"type": "text", "content": _MARK.format(size)}]
    encoded = _to_json(husk)
    return encoded if len(encoded) <= limit else b""
