"""Takes what must not pass out of a body's raw bytes: every other byte stays as it was. Looks for nothing itself."""

from collections.abc import Callable, Sequence

from gateway.policy.engine import Found
from gateway.policy.streaming import merged
from gateway.policy.strings import strings_in, text_of, without

Find = Callable[[str], Sequence[Found]]


def redacted_body(body: bytes, find: Find) -> bytes:
    """With `[category]` in place of every finding in a JSON string, or in a text that is no JSON.

    What goes over several strings stays: whoever calls looks at the result once more.
    """
    if body.lstrip()[:1] not in (b"{", b"["):
        return _redacted_text(body, find)
    pieces: list[bytes] = []
    kept = 0
    for _, start, end in strings_in(body):
        text = text_of(body[start:end])
        found = merged(find(text)) if text else ()
        if found:
            cuts = [((begin, until), b"[%b]" % category.encode()) for category, begin, until in found]
            pieces += (body[kept:start], without(body[start:end], cuts))
            kept = end
    return b"".join([*pieces, body[kept:]])


def _redacted_text(body: bytes, find: Find) -> bytes:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body
    pieces: list[str] = []
    kept = 0
    for category, start, end in merged(find(text)):
        pieces += (text[kept:start], f"[{category}]")
        kept = end
    return "".join([*pieces, text[kept:]]).encode()
