"""What the store keeps of a message where content is `redacted`: its JSON with secrets, cards, IBANs, e-mail taken out.

Changes a copy, never traffic. Where it cannot be sure, it takes out more.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from gateway.model.message import (
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
    Uri,
)
from gateway.policy.engine import Found
from gateway.policy.plain import pieces

_KEY = "redacted"
_to_json = msgspec.json.Encoder().encode
_message_of = msgspec.json.Decoder(Message).decode
_FIELDS: dict[type, str] = {
    Text: "content",
    Reasoning: "content",
    ToolCall: "arguments",
    ToolCallResponse: "response",
    ServerToolCall: "server_tool_call",
    ServerToolCallResponse: "server_tool_call_response",
    Other: "content",
    Uri: "uri",
}
"""Where a part has what somebody wrote."""
_UNLISTED = (b'"type":"other"', b'"type":"uri"')
"""Parts that are not among an entry's texts."""
_ESCAPE_LENGTHS = {"u": 5}


class Detector(Protocol):
    """Finds what must not be stored; `PolicySet` does."""

    def sensitive(self, entry: Entry) -> bool: ...

    def sensitive_in(self, text: str) -> list[Found]: ...


def redacted(entry: Entry, detector: Detector) -> bytes:
    """The entry's message as JSON with `[category]` in place of every finding; remembered in the entry."""
    known: bytes | None = entry.notes.get(_KEY)
    if known is None:
        known = entry.notes[_KEY] = _redacted(entry, detector)
    return known


def _redacted(entry: Entry, detector: Detector) -> bytes:
    if not detector.sensitive(entry) and not any(mark in entry.json for mark in _UNLISTED):
        return entry.json
    message = _message_of(entry.json)
    across = _across(message.parts, detector)
    parts = tuple(_clean_part(part, detector, across.get(number, [])) for number, part in enumerate(message.parts))
    name = _clean_text(message.name, detector, []) if message.name else message.name
    role = _clean_text(message.role, detector, [])
    return _to_json(msgspec.structs.replace(message, role=role, parts=parts, name=name))


def _across(parts: Sequence[Part], detector: Detector) -> dict[int, list[Found]]:
    """What goes over several parts, by part: a key cut in two is still a key."""
    texts = [_text_of(part) for part in parts]
    across: dict[int, list[Found]] = {}
    if len(texts) > 1:
        for found in detector.sensitive_in("".join(texts)):
            spots = [*pieces(texts, found.place)]
            for number, place in spots if len(spots) > 1 else ():
                across.setdefault(number, []).append(found._replace(place=place))
    return across


def _text_of(part: Part) -> str:
    value = getattr(part, _FIELDS.get(type(part), ""), None)
    return value if isinstance(value, str) else ""


def _clean_part(part: Part, detector: Detector, across: list[Found]) -> Part:
    if isinstance(part, ToolCall | ServerToolCall):
        part = msgspec.structs.replace(part, name=_clean_text(part.name, detector, []))
    field = _FIELDS.get(type(part))
    if field is None:
        return part
    value = getattr(part, field)
    clean = _clean_text(value, detector, across) if isinstance(value, str) else _clean_value(value, detector)
    return part if clean is value else msgspec.structs.replace(part, **{field: clean})


def _clean_text(text: str, detector: Detector, across: list[Found]) -> str:
    found = sorted([*detector.sensitive_in(text), *across], key=lambda each: each.place)
    if not found:
        return text
    if any(each.more for each in found):
        return f"[{found[0].category}]"  # more than can be told apart: nothing of it is kept
    return _replaced(text, found, in_json=False)


def _clean_value(value: Any, detector: Detector) -> Any:
    """Arguments and results that are structures are looked at as JSON: `{"password": "…"}` needs its key to be seen."""
    text = _to_json(value).decode()
    found = detector.sensitive_in(text)
    if not found:
        return value
    if any(each.more for each in found):
        return f"[{found[0].category}]"
    try:
        return msgspec.json.decode(_replaced(text, found, in_json=True))
    except msgspec.DecodeError:
        return f"[{found[0].category}]"  # a place cut through the structure


def _replaced(text: str, found: list[Found], in_json: bool) -> str:
    pieces: list[str] = []
    kept = 0
    for category, start, end in _merged(found):
        if in_json:
            start = min(_past_escape(text, start), end)
        mark = f"[{category}]"
        pieces += (text[kept:start], f'"{mark}"' if in_json and _bare(text, start, end) else mark)
        kept = end
    return "".join(pieces) + text[kept:]


def _merged(found: list[Found]) -> list[tuple[str, int, int]]:
    """Overlapping places as one, named for the first."""
    merged: list[tuple[str, int, int]] = []
    for category, _, (start, end), _ in found:
        if merged and start < merged[-1][2]:
            first, begin, reached = merged[-1]
            merged[-1] = first, begin, max(reached, end)
        else:
            merged.append((category, start, end))
    return merged


def _past_escape(text: str, start: int) -> int:
    """In `\\nme@…` the address seems to begin with the n of the escape."""
    before = text[:start]
    escaped = (len(before) - len(before.rstrip("\\"))) % 2
    return start + _ESCAPE_LENGTHS.get(text[start], 1) if escaped else start


def _bare(text: str, start: int, end: int) -> bool:
    """A JSON number: its replacement needs quotes."""
    return (
        text[start - 1 : start] in (":", "[", ",") and text[end : end + 1] in ("}", "]", ",") and text[start].isdigit()
    )
