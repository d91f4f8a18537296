"""Reads JSON that a strict decoder refuses, and text that is no JSON: unreadable is never empty. No I/O."""

import json
import re
from hashlib import sha256
from typing import Any

import msgspec

from gateway.model.message import Blob, Entry, FinishReason, Message, Text
from gateway.providers.abundance import has_too_many_values
from gateway.providers.known import entry_of
from gateway.providers.raw_media import without_media

_decode = msgspec.json.Decoder().decode
_to_json = msgspec.json.Encoder().encode
_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPES = re.compile(r'(?:\\u[0-9a-fA-F]{4})+|\\[bfnrt"/\\]')
_SHORT_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "/": "/", "\\": "\\"}


class RepeatedNameError(ValueError):
    """An object in which a name stands twice: which of the two counts is each parser's own matter."""


def value_of(data: bytes | str) -> Any:
    """The value of JSON that some upstream may accept. Raises ValueError for what is none or too deeply nested."""
    try:
        return _decode(data)
    except ValueError:
        return _decode(repaired(data))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def repaired(data: bytes | str) -> bytes:
    """The same JSON as a strict decoder wants it. Raises ValueError where it is none, or nested too deeply.

    Mends what upstreams written in other languages are known to accept: a BOM, UTF-16 and UTF-32, bytes that are no
    UTF-8, lone surrogates, NaN and numbers beyond a double (they become null). Not names that stand twice, and not what
    says more than anybody means to: it takes a microsecond for each value.
    """
    if has_too_many_values(data.encode("utf-8", "replace") if isinstance(data, str) else data, numbers=False):
        raise ValueError("too many values")
    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "replace")
    try:
        value = json.loads(
            text.removeprefix("\ufeff"), parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_named_once
        )
        strict = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return _SURROGATES.sub("\ufffd", strict).encode()


def check_names(data: bytes | str, value: Any) -> None:
    """Raises RepeatedNameError where a name stands twice in an object of this JSON, whose value is `value`."""
    # Written anew it is the same, as most JSON is, or it is gone through once more, at a tenth of the speed.
    written = _to_json(value)
    if (written.decode() if isinstance(data, str) else written) != data:
        json.loads(data, object_pairs_hook=_named_once)


def raw_text(data: bytes) -> str:
    """What cannot be understood, as text a detector can search: JSON's escapes undone, so that none hides a word."""
    text = data.decode(json.detect_encoding(data) if b"\0" in data else "utf-8", "replace")
    return _ESCAPES.sub(_unescaped, text) if "\\" in text else text


def raw_entry(data: bytes, role: str, finish_reason: FinishReason | None = None) -> Entry:
    """A whole body that was not understood, as one message: all of it for agents, for spans and store without media."""
    text = raw_text(data)
    shown = without_media(text)
    entry = entry_of(Message(role, (Text(shown),), finish_reason=finish_reason))
    return entry if shown == text else msgspec.structs.replace(entry, texts=(text,), notes={})


def body_entry(body: bytes, role: str, finish_reason: FinishReason | None = None) -> Entry | None:
    """The body as one message, None where it is empty. Agents see its text whatever it is; of a binary one spans and
    store have size and hash."""
    if not body:
        return None
    entry = raw_entry(body, role, finish_reason)
    if b"\0" not in body or "\0" not in entry.texts[0]:
        return entry
    blob = Blob("file", None, sha256(body).hexdigest(), len(body))
    shown = entry_of(Message(role, (blob,), finish_reason=finish_reason))
    return msgspec.structs.replace(shown, texts=entry.texts, notes={})


def text_or_none(value: object) -> str | None:
    """The value if it is a string with something in it."""
    return value if isinstance(value, str) and value else None


def count_or_none(value: object) -> int | None:
    """The value if it is a plausible count; a protobuf integer has 64 bits."""
    if type(value) is int:
        return value if 0 <= value < 2**63 else None
    return count_or_none(int(value)) if type(value) is float and value.is_integer() else None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise RepeatedNameError("a name stands twice in an object")
    return named


def _no_number(_: str) -> None:
    return None


def _finite(literal: str) -> float | None:
    number = float(literal)
    return number if abs(number) != float("inf") else None


def _unescaped(match: re.Match[str]) -> str:
    escape = match[0]
    if escape[1] != "u":
        return _SHORT_ESCAPES[escape[1]]
    units = b"".join(int(unit, 16).to_bytes(2, "big") for unit in escape[2:].split("\\u"))
    return units.decode("utf-16-be", "replace")
