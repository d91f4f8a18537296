"""Token usage of a Chat Completions stream for a client that did not ask: asked for, and hidden. No I/O.

Nothing is written anew: the request gets a few bytes more, the answer loses one whole event.
Source: `stream_options` in platform.openai.com/docs/api-reference/chat/create.
"""

import json
import re
from typing import Any, NamedTuple

import msgspec

from gateway.providers.sse import SseDecoder, SseEvent

_INCLUDE_USAGE = b'"include_usage":true'
_STREAM_OPTIONS = b'"stream_options":{%b},' % _INCLUDE_USAGE
_LONGEST_BYTES = 1024 * 1024
"""Usage takes less than a kilobyte. A longer event is something else, and need not wait for its end."""


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, msgspec.Raw] | None = None
    error: Any = None


class _Member(NamedTuple):
    name: str
    value: Any
    at: int
    """Where its value begins."""


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_value = json.JSONDecoder().raw_decode
_space = re.compile(r"[ \t\n\r]*").match


def asking_for_usage(body: bytes) -> bytes | None:
    """The same request, and usage asked for. None where it stays as it is: no stream, an answer to the question is in
    it already, whatever it says, or two servers could read it differently."""
    if b'"stream"' not in body:
        return None
    try:
        return _spliced(body, body.decode())
    except (ValueError, RecursionError):
        return None


def _spliced(body: bytes, text: str) -> bytes | None:
    """Raises ValueError for what is no plain JSON object."""
    opening = _past_space(text, 0)
    members, end = _members(text, opening)
    stream, options = _named(members, "stream"), _named(members, "stream_options")
    if stream is None or stream.value is not True or end < len(text):
        return None
    if options is None:
        return _with(_STREAM_OPTIONS, body, text, opening + 1)
    members, _ = _members(text, options.at)
    if _named(members, "include_usage") is not None:
        return None
    return _with(_INCLUDE_USAGE + b"," if members else _INCLUDE_USAGE, body, text, options.at + 1)


def _with(more: bytes, body: bytes, text: str, position: int) -> bytes:
    at = len(text[:position].encode())
    return body[:at] + more + body[at:]


def _named(members: list[_Member], name: str) -> _Member | None:
    """Raises ValueError for another spelling: Go's decoder, and so some servers, take `Stream_Options` for the same."""
    for member in members:
        if member.name == name:
            return member
        if member.name.casefold() == name:
            raise ValueError("spelled in another case")
    return None


def _members(text: str, opening: int) -> tuple[list[_Member], int]:
    """Of the object whose brace opens there, and where what follows it begins.

    Goes from value to value, so that no text inside one can mislead it.

    Raises ValueError where this is no object, or a name stands there twice: which one counts differs by server.
    """
    members: list[_Member] = []
    position = _past(text, opening, "{")
    while not text.startswith("}", position):
        member, position = _member(text, _past(text, position, ",") if members else position)
        members.append(member)
    if len({member.name.casefold() for member in members}) < len(members):
        raise ValueError("a name stands there twice")
    return members, _past(text, position, "}")


def _member(text: str, position: int) -> tuple[_Member, int]:
    """The member that begins there, and the position of the mark behind it."""
    name, position = _value(text, position)
    if not isinstance(name, str):
        raise ValueError("a name that is no string")
    at = _past(text, _past_space(text, position), ":")
    value, position = _value(text, at)
    return _Member(name, value, at), _past_space(text, position)


def _past(text: str, position: int, mark: str) -> int:
    if not text.startswith(mark, position):
        raise ValueError(f"no {mark} where one belongs")
    return _past_space(text, position + 1)


def _past_space(text: str, position: int) -> int:
    match = _space(text, position)
    return position if match is None else match.end()


class UsageHider:
    """Takes the event that reports usage, and nothing else, out of a stream of chunks.

    Holds the unfinished last event only. An event that ends in a bare CR is finished when the next byte has come: it
    may be the LF of that CR.
    """

    __slots__ = ("_events", "_torn")

    def __init__(self) -> None:
        self._events = SseDecoder()
        self._torn = False
        """The unfinished event's beginning has left."""

    def feed(self, data: bytes) -> bytes:
        """What may go on to the client. Cut anywhere."""
        released = [event.raw for event in self._events.feed(data) if self._passes(event)]
        if self._torn or self._events.held > _LONGEST_BYTES:
            released.append(self._events.let_go())
            self._torn = True
        return b"".join(released)

    def end(self) -> bytes:
        """The stream is over, or broke off: what was held is all that there is of it."""
        left = self._events.end()
        return left.raw if left is not None and self._passes(left) else b""

    def _passes(self, event: SseEvent) -> bool:
        torn, self._torn = self._torn, False
        return torn or len(event.raw) > _LONGEST_BYTES or not _reports_usage(event.data)


def _reports_usage(data: bytes) -> bool:
    """Whether this is the extra chunk: no choice in it, and usage. One that tells an error as well is not hidden."""
    try:
        chunk = _decode_chunk(data)
    except (ValueError, RecursionError):
        return False
    return chunk.usage is not None and chunk.choices == [] and chunk.error is None
