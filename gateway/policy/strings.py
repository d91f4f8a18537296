"""Where the strings stand in raw JSON, and which of several events' strings go on from one another. Decodes no numbers.

Lenient: of what is no JSON it finds what looks like strings. Never raises.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from gateway.policy.detectors.shape import Place

_TOKEN = re.compile(rb'"((?:[^"\\]++|\\.)*+)"(\s*+:)?|([{\[])|([}\]])|(,)|([^\s"{}\[\],:]++)', re.DOTALL)
_STRING, _NAME, _OPENING, _CLOSING, _COMMA, _WORD = range(1, 7)
_NUMBERED = frozenset({b"index", b"output_index", b"content_index", b"summary_index", b"contentBlockIndex"})
"""By these APIs tell apart what they say side by side: choices, blocks, items."""
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
_UTF8_LENGTHS = {0xC: 2, 0xD: 2, 0xE: 3, 0xF: 4}
_decode = msgspec.json.Decoder(str).decode

Key = tuple[bytes | int | tuple[int, ...], ...]
"""The names that lead to a string, with the numbers that its API gives to what it is a part of."""


class JsonString(NamedTuple):
    """A value, not a name."""

    key: Key
    start: int
    end: int
    """Between the quotes, in bytes."""


def strings_in(data: bytes) -> list[JsonString]:
    found: list[tuple[Key, int, int]] = []
    numbers: dict[Key, tuple[int, ...]] = {}
    path: list[bytes | int] = []
    at: bytes | int = b""
    for token in _TOKEN.finditer(data):
        kind = token.lastindex
        if kind == _STRING:
            found.append(((*path, at), token.start(1), token.end(1)))
        elif kind == _NAME:
            at = token[1]
        elif kind == _OPENING:
            path.append(at)
            at = b"" if token[0] == b"{" else 0
        elif kind == _CLOSING:
            at = path.pop() if path else b""
        elif kind == _COMMA:
            at = at + 1 if isinstance(at, int) else at
        elif at in _NUMBERED and token[0].isdigit() and len(token[0]) < 10:
            here = tuple(path)
            numbers[here] = (*numbers.get(here, ()), int(token[0]))
    if not numbers:
        return [JsonString(key, start, end) for key, start, end in found]
    return [JsonString(tuple(_numbered(key, numbers)), start, end) for key, start, end in found]


def _numbered(key: Key, numbers: dict[Key, tuple[int, ...]]) -> Iterator[bytes | int | tuple[int, ...]]:
    """With the API's own number in place of an element's, which is only its place in this event."""
    for depth, step in enumerate(key, 1):
        own = numbers.get(key[:depth])
        if own is None:
            yield step
        else:
            if not isinstance(step, int):
                yield step
            yield own


def text_of(raw: bytes) -> str | None:
    """What stands between the quotes, decoded; None for what is no JSON string."""
    try:
        return _decode(b'"%b"' % raw) if b"\\" in raw else raw.decode()
    except ValueError:
        return None


def without(raw: bytes, places: Sequence[tuple[Place, bytes]]) -> bytes:
    """The raw string with these places of its text replaced; places in order and apart, replacements as JSON."""
    pieces: list[bytes] = []
    kept = 0
    offsets = _offsets(raw, [offset for place, _ in places for offset in place])
    for (start, end), instead in places:
        pieces += (raw[kept : offsets[start]], instead)
        kept = offsets[end]
    return b"".join([*pieces, raw[kept:]])


def _offsets(raw: bytes, wanted: Sequence[int]) -> dict[int, int]:
    """Where characters of the text stand in the raw bytes; `wanted` in order. An escape is one character."""
    offsets: dict[int, int] = {}
    at = characters = 0
    for offset in wanted:
        while characters < offset and at < len(raw):
            escape = _ESCAPE.match(raw, at)
            at = escape.end() if escape is not None else at + _UTF8_LENGTHS.get(raw[at] >> 4, 1)
            characters += 1
        offsets[offset] = at
    return offsets
