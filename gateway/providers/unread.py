"""What of a request no reader took, for agents alone: an upstream may read it, so it must not go unseen. No I/O.

And JSON that two parsers read differently: names that come twice, or in other letters than the API's own (Go's decoder
takes `Messages` for `messages`). Of messages nothing is remembered here; who calls does that.
"""

import json
import re
from binascii import a2b_base64
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from gateway.model.message import Message, Unread
from gateway.providers.known import values_read
from gateway.providers.lenient import RepeatedNameError, check_names, repaired, value_of
from gateway.providers.parts import OPAQUE, arguments_of
from gateway.providers.vocabulary import BYTES_FIELDS, ID_FIELDS, MESSAGE_NAMES, SHOWN_WHOLE, VOCABULARY

_decode_any = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_to_json = msgspec.json.Encoder().encode
_NO_WORDS = b"-0123456789tfn"
"""How JSON begins that is a number, true, false or null."""
_SHORT = 12
"""Longer numbers may be of a card."""
_LONGEST_REMEMBERED = 2048
_AT_A_TIME = 32
_TEXT_FIELDS = frozenset({"", "content", "text"})
"""What stands here is read as it stands."""
_CERTAINLY_BYTES = 256
"""Base64 of fewer characters may as well be a word or a key: it is shown as it came, too."""
ID = (
    r"^(?:call|toolu|srvtoolu|mcptoolu|fc|ctc|msg|rs|ws|item)_[0-9A-Za-z]{1,64}\Z"
    r"|^tooluse_[0-9A-Za-z_-]{22}\Z"
    r"|^[0-9a-f]{64}\Z"
)
"""What looks like an id that an API gave: nobody reads it, and keys have other beginnings."""
_is_id = re.compile(ID).search
_JOINED_LIMIT = 16
_BEGIN = 4096
_BACKSLASH = ord("\\")
_KEYS = {name: b'"%b":' % name.encode() for name in SHOWN_WHOLE}
_PLAIN_BASE64 = str.maketrans("-_", "+/", " \t\n\v\f\r")
"""URL-safe letters as the plain ones, and no blanks: MIME has lines of 76, and decoders pass over both."""
_UTF16 = (BOM_UTF16_LE, BOM_UTF16_BE)


def unread_of(
    body: bytes, names: frozenset[str], lists: Sequence[tuple[str, Sequence[bytes | msgspec.Raw]]]
) -> tuple[bytes, bool]:
    """The fields of an object that no agent is shown otherwise, as JSON, and whether its names are clear.

    `names`: what the provider reads. `lists`: large fields and what was decoded of them; where they stand as decoded
    they are not gone through again, which is most of a request. The names are not clear where one comes twice, or like
    one of `names` in other letters. Linear. Raises nothing for a body that was decoded before.
    """
    try:
        frame = _without(body, lists)
        return _of_frame(frame, names) if len(frame) > _LONGEST_REMEMBERED else _of_known_frame(frame, names)
    except ValueError:
        try:
            return _of_frame(repaired(body), names)
        except (ValueError, RecursionError):
            return b"", False
    except RecursionError:
        return b"", False


def _of_frame(body: bytes, names: frozenset[str]) -> tuple[bytes, bool]:
    body = body.strip()
    fields = _decode_object(body)
    clear = _once(body, fields)
    rest = {}
    for name, raw in fields.items():
        if name not in names:
            clear = clear and name.casefold() not in _folded(names)
        elif name in SHOWN_WHOLE or (len(data := bytes(raw)) <= _SHORT and data[0] in _NO_WORDS):
            continue
        rest[name] = raw
    return _to_json(rest) if rest else b"", clear


@lru_cache(maxsize=64)
def _folded(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)


# A client sends the same model and settings with every call: what is around the messages is gone through once.
_of_known_frame = lru_cache(maxsize=1024)(_of_frame)


def _without(body: bytes, lists: Sequence[tuple[str, Sequence[bytes | msgspec.Raw]]]) -> bytes:
    """The body with 0 for these fields' values, where they stand as they were decoded."""
    if len(lists) == 1 and len(lists[0][1]) <= _AT_A_TIME:
        # As most small requests are: no tools, few messages.
        span = _span(body, *lists[0], 0)
        return b"%b0%b" % (body[: span[0]], body[span[1] :]) if span is not None else body
    spans: list[tuple[int, int]] = []
    behind = 0
    for name, items in lists:
        # Behind what was found already first: looking through 50 KB of tools for a name takes longer than all else.
        span = _span(body, name, items, behind) or (_span(body, name, items, 0) if behind else None)
        if span is not None:
            spans.append(span)
            behind = max(behind, span[1])
    spans.sort()
    pieces: list[bytes] = []
    kept = 0
    for begin, end in spans:
        if begin >= kept:
            pieces += (body[kept:begin], b"0")
            kept = end
    return b"".join([*pieces, body[kept:]]) if pieces else body


def _span(body: bytes, name: str, items: Sequence[bytes | msgspec.Raw], start: int) -> tuple[int, int] | None:
    """Where the value of this field stands, if the first of its name from `start` on is just what was decoded.

    SECURITY: exact, not a guess. `"name"` in valid JSON with no backslash ahead of it is a whole string; with the very
    value behind it that is shown to agents, whichever object it stands in, there is nothing unseen in it.
    """
    key = _KEYS.get(name) or b'"%b":' % name.encode()
    at = body.find(key, start)
    if at < 1 or body[at - 1] == _BACKSLASH:
        return None
    begin = at + len(key)
    if body[begin : begin + 1] == b" ":
        begin += 1
    if name != "messages":
        value = bytes(items[0])
        whole = value.startswith((b"[", b"{", b'"')) and body.startswith(value, begin)
        return (begin, begin + len(value)) if whole else None
    at = begin + 1
    values = b",".join(items[:_AT_A_TIME])
    if len(items) <= _AT_A_TIME and body.startswith(values, at):
        at += len(values)
        return (begin, at + 1) if body[begin : begin + 1] == b"[" and body[at : at + 1] == b"]" else None
    behind = at + len(bytes(items[0])) if items else at
    separator = b", " if body[behind : behind + 2] == b", " else b","
    # A few at a time: a copy of all of them is as large as the body, and the memory for that is new each time.
    for first in range(0, len(items), _AT_A_TIME):
        values = separator.join(items[first : first + _AT_A_TIME])
        if first:
            values = separator + values
        if not body.startswith(values, at):
            return None
        at += len(values)
    return (begin, at + 1) if body[begin : begin + 1] == b"[" and body[at : at + 1] == b"]" else None


def _once(body: bytes, fields: dict[str, msgspec.Raw]) -> bool:
    """Whether each name stands in the object once: told by writing it anew, else by reading the names one by one."""
    if body == _to_json(fields):
        return True
    spaced = b", ".join([b"%b: %b" % (_to_json(name), raw) for name, raw in fields.items()])
    if len(body) == len(spaced) + 2 and body[1:-1] == spaced:
        return True
    pairs = json.loads(body, object_pairs_hook=list)
    return len(pairs) == len(fields)


def shown_whole(read: Callable[[bytes], Message]) -> Callable[[bytes], Message | Unread]:
    """The same reader of messages, with what else their JSON says."""

    @wraps(read)
    def read_whole(raw: bytes) -> Message | Unread:
        message = read(raw)
        return with_unread(message, raw) if b'"' in raw else message  # numbers are no words: a text's tokens

    return read_whole


def with_unread(message: Message, raw: bytes) -> Message | Unread:
    """The message, with what else its JSON says. Raises RepeatedNameError where parsers may differ about its names."""
    value = _decode_any(raw)
    check_names(raw, value)
    for item in value if isinstance(value, list) else (value,):
        for name in item if isinstance(item, dict) else ():
            if name not in MESSAGE_NAMES and name.casefold() in MESSAGE_NAMES:
                raise RepeatedNameError("a name may be read as another one")
    read = [text for part in msgspec.to_builtins(values_read(message)) for text in _strings(part, packed=True)]
    shown = set(read)
    joined = _Joined(read)
    texts: dict[str, None] = {}
    for text in _strings(value):
        if text and text not in shown and text not in VOCABULARY and not joined.has(text):
            texts[text] = None
    return Unread(message, tuple(texts)) if texts else message


def lines_in(body: bytes) -> str:
    """Every string in JSON of which nothing else is known, unpacked, and the texts of each list's objects as one; a
    line for each. Names that the APIs themselves say are left out.

    Raises ValueError for what is no JSON, is nested too deeply, or has a name twice in an object.
    """
    value = value_of(body)
    check_names(body, value)
    lines = [text for text in _strings(value) if text and text not in VOCABULARY]
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, list):
            texts = [item["text"] for item in value if isinstance(item, dict) and isinstance(item.get("text"), str)]
            if len(texts) > 1:
                lines.append("".join(texts))
            left += value
        elif isinstance(value, dict):
            left += value.values()
    return "\n".join(lines)


class _Joined:
    """Texts that a reading has joined, such as those of a tool's result: each piece is known again where it begins."""

    def __init__(self, read: Sequence[str]) -> None:
        self._wholes = read[:_JOINED_LIMIT]
        self._reached = [0] * len(self._wholes)

    def has(self, text: str) -> bool:
        for number, whole in enumerate(self._wholes):
            at = self._reached[number]
            if whole.startswith(text, at):
                at += len(text)
                self._reached[number] = at + 1 if whole.startswith("\n", at) else at
                return True
        return False


def _strings(value: Any, packed: bool = False) -> list[str]:
    """Every string in it, in order, names too; of bytes what can be read, of ids only what does not look like one.

    `packed`: every string as it stands.
    """
    texts: list[str] = []
    left: list[tuple[str, Any]] = [("", value)]
    while left:
        field, value = left.pop()
        if isinstance(value, str):
            if packed or field in _TEXT_FIELDS:
                texts.append(value)
            else:
                left += _unpacked(value, field, texts)
        elif isinstance(value, dict):
            texts += value
            opaque = OPAQUE | {"data"} if value.get("type") == "redacted_thinking" else OPAQUE
            left += [(name, item) for name, item in reversed(value.items()) if name not in opaque]
        elif isinstance(value, list | tuple):
            left += [(field, item) for item in reversed(value)]
    return texts


def _unpacked(text: str, field: str, into: list[str]) -> Sequence[tuple[str, Any]]:
    """Adds what the string says; returns the object that it holds as JSON, as a tool's arguments do."""
    if text[:5].lower() == "data:":
        header, _, payload = text.partition(",")
        into.append(header)
        if header.lower().endswith(";base64"):
            _add_base64(payload, into)
        else:
            into.append(unquote_to_bytes(payload).decode("utf-8", "replace"))
    elif field in BYTES_FIELDS:
        _add_base64(text, into)
    elif text[:1] == "{" and isinstance(held := arguments_of(text), dict):
        return [(field, held)]
    elif not (field in ID_FIELDS and _is_id(text)):
        into.append(text)
    return ()


def _add_base64(text: str, into: list[str]) -> None:
    """What the bytes say, if they are text."""
    if len(text) < _CERTAINLY_BYTES:
        into.append(text)
    encoded = text.translate(_PLAIN_BASE64).rstrip("=")
    try:
        # A picture is no text from its first bytes on: the rest need not be unpacked to know.
        begin = a2b_base64(encoded[:_BEGIN], strict_mode=True) if len(encoded) > _BEGIN else b""
        if not begin.startswith(_UTF16) and (b"\0" in begin or _not_utf8(begin)):
            return
        content = a2b_base64(encoded + "=" * (-len(encoded) % 4), strict_mode=True)
        if content.startswith(_UTF16):
            into.append(content.decode("utf-16"))
        elif b"\0" not in content:
            into.append(content.decode())
    except UnicodeDecodeError:
        return
    except ValueError:
        into.append(text)  # no base64: who knows what it is


def _not_utf8(begin: bytes) -> bool:
    try:
        begin.decode()
    except UnicodeDecodeError as error:
        return error.end < len(begin)
    return False
