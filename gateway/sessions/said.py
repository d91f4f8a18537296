"""What a message says, whoever wrote its JSON: the same for an answer and for the request that repeats it. Pure.

Left out is what changes while a conversation goes on: instructions, reasoning, finish reasons, caching marks, what
agents put between tags into a user's words, a tool's result (its call's id stands for it), spaces at ends, JSON's form.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from gateway.model.message import (
    Entry,
    Message,
    Other,
    Reasoning,
    ServerToolCall,
    ServerToolCallResponse,
    Text,
    ToolCall,
    ToolCallResponse,
)

LONG_LINE = 64
"""Characters from which on a line is hardly ever said twice."""
_LINES, _LINES_READ = 8, 2000
_LONGEST_READ = 64 * 1024
"""Characters of a text that is looked through for long lines."""
_INSTRUCTING = ("system", "developer")
_SPEAKING = ("user", "assistant")
_TAGS = ("system-reminder", "environment_context", "environment_details", "user_instructions")
_LEFT_OUT = Reasoning | ServerToolCall | ServerToolCallResponse
_NOTE, _LINES_NOTE = "lineage.said", "lineage.lines"
_to_message = msgspec.json.Decoder(Message).decode
_to_plain = msgspec.json.Encoder().encode
_to_json = msgspec.json.Encoder(order="sorted").encode


class Said(NamedTuple):
    digests: bytes = b""
    """16 bytes a part that counts; empty where none does."""
    calls: tuple[str, ...] = ()
    """Ids of the tools called."""
    results: tuple[str, ...] = ()
    """Ids of the calls answered."""


_NOTHING = Said()


def said(entry: Entry) -> Said:
    """Worked out once an entry: a conversation repeats its messages."""
    found: Said | None = entry.notes.get(_NOTE)
    if found is None:
        plainly = entry.plain and entry.role in _SPEAKING
        found = entry.notes[_NOTE] = _said_plainly(entry) if plainly else _said(entry)
    return found


def digests_of(entries: Sequence[Entry]) -> list[bytes]:
    """Of each what `said` has digested. Asked once a message of every history: `said` inlined."""
    return [(entry.notes.get(_NOTE) or said(entry)).digests for entry in entries]


def _said(entry: Entry) -> Said:
    if entry.role in _INSTRUCTING:
        return _NOTHING
    role = "assistant" if entry.role == "assistant" else "user"
    mark = b"a" if role == "assistant" else b"u"
    digests, texts, calls, results = [], [""], [], []
    for part in _to_message(entry.json).parts:
        if isinstance(part, Text):
            texts.append(part.content)
            continue
        if isinstance(part, _LEFT_OUT) or (isinstance(part, Other) and mark == b"a"):
            continue
        if isinstance(part, ToolCall):
            calls += [part.id] if part.id else []
            digests.append(_digest(mark, b"call", f"{part.name}\n{part.id or ''}\n{_canonical(part.arguments)}"))
        elif isinstance(part, ToolCallResponse):
            results += [part.id] if part.id else []
            digests.append(_digest(mark, b"result", part.id or _canonical(part.response)))
        else:
            digests.append(_digest(mark, b"part", _canonical(part)))
    text = plain("".join(texts))
    if text:
        digests.insert(0, _text_digest(role, text))
    return Said(b"".join(digests), tuple(calls), tuple(results))


def _said_plainly(entry: Entry) -> Said:
    """Most messages: the digest of an entry that has nothing but this text is known, or made of its JSON."""
    text = entry.texts[0]
    inside = plain(text) if "<" in text else text.strip()
    if not inside:
        return _NOTHING
    if inside is not text:
        return Said(_text_digest(entry.role, inside))
    json = entry.json
    if json.endswith(b'"}]}'):
        return Said(entry.digest)
    return Said(blake2b(json[: json.rindex(b"}],") + 2] + b"}", digest_size=16).digest())


def plain(text: str) -> str:
    """Without what agents put between tags. Linear: what is not closed is looked for once."""
    if "<" in text:
        for tag in _TAGS:
            opening = f"<{tag}>"
            if opening in text:
                text = "".join(_outside(text, opening, f"</{tag}>"))
    return text.strip()


def _outside(text: str, opening: str, closing: str) -> Iterator[str]:
    at = 0
    while (start := text.find(opening, at)) >= 0:
        end = text.find(closing, start)
        if end < 0:
            break
        yield text[at:start]
        at = end + len(closing)
    yield text[at:]


def _text_digest(role: str, text: str) -> bytes:
    """That of the entry of a message with this text and nothing else: for most messages it is known already."""
    return blake2b(_to_plain(Message(role, (Text(text),))), digest_size=16).digest()


def _canonical(value: Any) -> str:
    """Arguments as an object, as JSON of it or as a half of one: the same text for the same meaning."""
    if isinstance(value, str):
        return value.strip()
    return _to_json(value).decode()


def _digest(mark: bytes, kind: bytes, text: str) -> bytes:
    return blake2b(b"%b%b\n%b" % (mark, kind, text.encode("utf-8", "surrogatepass")), digest_size=16).digest()


def lines(entry: Entry) -> tuple[bytes, ...]:
    """Digests of its longest lines, the longest first, and of those in the arguments of tools it calls.

    By these a summary is found again in the request that goes on from it, and an order in a sub-agent's first request.
    """
    found: tuple[bytes, ...] | None = entry.notes.get(_LINES_NOTE)
    if found is None:
        found = entry.notes[_LINES_NOTE] = _lines(entry)
    return found


def _lines(entry: Entry) -> tuple[bytes, ...]:
    if max(map(len, entry.texts), default=0) < LONG_LINE:
        return ()
    texts = entry.texts if entry.plain else [*_texts(_to_message(entry.json))]
    long = {line for text in texts for line in _long(text)}
    longest = sorted(long, key=lambda line: (-len(line), line))[:_LINES]
    return tuple([_digest(b"", b"line", line) for line in longest])


def _texts(message: Message) -> Iterator[str]:
    for part in message.parts:
        if isinstance(part, Text):
            yield part.content
        elif isinstance(part, ToolCall) and isinstance(part.arguments, dict):
            yield from (value for value in part.arguments.values() if isinstance(value, str))


def _long(text: str) -> Iterator[str]:
    for line in plain(text[:_LONGEST_READ]).splitlines()[:_LINES_READ]:
        stripped = line.strip()
        if len(stripped) >= LONG_LINE:
            yield stripped
