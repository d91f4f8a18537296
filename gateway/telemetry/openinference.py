"""What stores that follow OpenInference show of a span before it is opened: the latest input, and the answer. No I/O.

Phoenix 20.26 makes neither of the messages: its list of sessions begins and ends with these attributes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from gateway.model import semconv as sc
from gateway.model.span import Attribute, Content


class _Part(msgspec.Struct, gc=False):
    type: str
    content: Any = None


class _Message(msgspec.Struct, gc=False):
    role: str
    parts: list[_Part]


_read = msgspec.json.Decoder(_Message).decode
_INSTRUCTING = ("system", "developer")


def values(contents: Sequence[Content], limit: int | None) -> Iterator[Attribute]:
    """`input.value` and `output.value` of an exchange's contents, each at most `limit` bytes: its beginning."""
    for content in contents:
        if content.key == sc.GEN_AI_INPUT_MESSAGES:
            yield from _attribute(sc.INPUT_VALUE, _asked(content.items), limit)
        elif content.key == sc.GEN_AI_OUTPUT_MESSAGES:
            yield from _attribute(sc.OUTPUT_VALUE, _said(content.items[0]), limit)


def _attribute(key: str, text: str, limit: int | None) -> Iterator[Attribute]:
    if text:
        yield key, text if limit is None else text.encode()[:limit].decode("utf-8", "ignore")


def _asked(messages: Sequence[bytes]) -> str:
    """Instructions may follow it, and agents put what they know of their surroundings before it."""
    for message in reversed(messages):
        if _read(message).role not in _INSTRUCTING:
            return _said(message, latest=True)
    return ""


def _said(message: bytes, latest: bool = False) -> str:
    """Its text, or the latest of its texts; of what has none, such as a call of a tool, all of it as JSON."""
    texts = [part.content for part in _read(message).parts if part.type == "text" and isinstance(part.content, str)]
    return "\n".join(texts[-1:] if latest else texts) or message.decode()
