"""What the store keeps where content is `redacted`: messages' JSON with secrets, cards, IBANs, e-mail taken out.

Changes a copy, never traffic. Where it cannot be sure, it takes out more.
"""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from gateway.model.message import (
    Blob,
    Compaction,
    Entry,
    File,
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
    Compaction: "content",
    Other: "content",
    Uri: "uri",
    File: "file_id",
}
"""Where a part has what somebody wrote."""
_UNLISTED = re.compile(
    rb'"(?:type":"(?:other|uri|file)"'
    rb'|mime_type":"(?!(?:image|audio|video|text|application)/[a-z0-9.+-]{1,12}")'
    rb'|id":"(?!(?:call|toolu|srvtoolu|mcptoolu|fc|msg)_[0-9A-Za-z]{1,40}"))'
)
"""What is not among an entry's texts, and may be somebody's words: it is looked at where it does not look harmless."""
_KEPT_FIELDS = frozenset({"modality", "sha256"})
"""The gateway's own words."""
_STANDARD_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function", ""})
_WORDS_REMEMBERED, _LONGEST_WORD = 4096, 256
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
    if not detector.sensitive(entry) and _UNLISTED.search(entry.json) is None:
        return entry.json
    message = _message_of(entry.json)
    across = _across([*map(_text_of, message.parts)], detector)
    clean = msgspec.structs.replace(
        message,
        parts=tuple([_clean_part(part, detector, across.get(number, [])) for number, part in enumerate(message.parts)]),
        role=_clean_text(message.role, detector, []),
        name=message.name and _clean_text(message.name, detector, []),
    )
    # SECURITY: what still goes over several strings, such as a text and a tool's name, is not to be cut out of them.
    left = _across([*map(_text_of, clean.parts), *_names_of(clean)], detector)
    if left:
        role = message.role if message.role in _STANDARD_ROLES else ""
        clean = Message(role, (Text(f"[{next(iter(left.values()))[0].category}]"),))
    return _to_json(clean)


def _names_of(message: Message) -> list[str]:
    """Role, name and the names of tools, in the order in which detectors see them behind the texts."""
    names = [part.name for part in message.parts if isinstance(part, ToolCall | ServerToolCall)]
    role = "" if message.role in _STANDARD_ROLES else message.role
    return [role, message.name or "", *dict.fromkeys(names)]


def _across(texts: Sequence[str], detector: Detector) -> dict[int, list[Found]]:
    """What goes over several texts, by text: a key cut in two is still a key."""
    across: dict[int, list[Found]] = {}
    if len([*filter(None, texts)]) > 1:
        for found in detector.sensitive_in("".join(texts)):
            spots = [*pieces(texts, found.place)]
            for number, place in spots if len(spots) > 1 else ():
                across.setdefault(number, []).append(found._replace(place=place))
    return across


def _text_of(part: Part) -> str:
    value = getattr(part, _FIELDS.get(type(part), ""), None)
    return value if isinstance(value, str) else ""


def _clean_part(part: Part, detector: Detector, across: list[Found]) -> Part:
    """Every string of it: also ids, types of media and names of files are what somebody sent."""
    main = _FIELDS.get(type(part))
    clean: dict[str, Any] = {}
    for field in part.__struct_fields__:
        value = getattr(part, field)
        if value is None or field in _KEPT_FIELDS or (isinstance(part, Blob) and field == "size"):
            continue
        if isinstance(value, str):
            clean[field] = _clean_text(value, detector, across if field == main else [])
        else:
            clean[field] = _clean_value(value, detector)
    return msgspec.structs.replace(part, **clean)


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


class CleanWords:
    """Model names, users and paths as they may be stored. They repeat, so those that are clean are remembered."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._clean: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        known = self._clean.get(text)
        if known is None:
            known = _clean_text(text, self._detector, [])
            if len(text) <= _LONGEST_WORD:
                if len(self._clean) >= _WORDS_REMEMBERED:
                    self._clean.clear()
                self._clean[text] = known
        return known
