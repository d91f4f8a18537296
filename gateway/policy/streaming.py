"""The events of one answer that have not gone on: their texts joined, what may leave, what must be taken out of them.

Sans-io. Bytes are let go in whole events, as they came but for what is taken out of them.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.policy.detectors.shape import Place
from gateway.policy.engine import Found
from gateway.policy.strings import Key, strings_in, text_of, without

WINDOW = 256
"""Characters that are looked at before the first of them may leave."""
OVERLAP = 128
"""Of these stay behind, so that what is split over two windows is found whole; each look brings as many new ones."""
_CONTEXT = 512
"""Characters that have left and are looked at once more, for what is longer than a window."""
_LONGEST_PLACE = 8 * WINDOW
"""What is to be taken out and does not end for so long leaves in pieces, each of them taken out."""
_KEYS_MAX = 256
_NOT_SAID = frozenset(
    b"id object model type role system_fingerprint service_tier finish_reason stop_reason item_id response_id call_id "
    b"tool_call_id created_at status event_id previous_response_id obfuscation signature responseId modelVersion "
    b"finishReason thoughtSignature encrypted_content done_reason native_finish_reason p toolUseId stopReason".split()
)
"""Names of what no model said. What stands below one of `_SAID` is a model's, whatever it is called."""
_SAID = frozenset({b"arguments", b"args", b"input"})
_PACKED: Key = (b"", b"bytes")
"""Bedrock's InvokeModelWithResponseStream has another API's event in Base64 there."""
_NOTHING = frozenset({b"", b"[DONE]"})


class Event(Protocol):
    @property
    def data(self) -> bytes: ...

    @property
    def raw(self) -> bytes: ...


class NotTakenOutError(Exception):
    """What should be taken out stands where it cannot be."""


@dataclass(slots=True)
class _Fragment:
    """A string of an event."""

    key: Key
    text: str
    start: int
    """In the event's data; -1 where it cannot be changed in its place."""
    end: int
    cuts: list[tuple[Place, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class _Held:
    raw: bytes
    data: bytes
    fragments: list[_Fragment]
    size: int
    """Characters."""


Reframe = Callable[[bytes, bytes], bytes]
"""(an event's raw bytes, its new data) → raw bytes."""


class HeldEvents:
    def __init__(self, reframe: Reframe | None = None) -> None:
        """`reframe`: of framings that say how long their events are."""
        self._reframe = reframe
        self._events: list[_Held] = []
        self._left: dict[Key, str] = {}
        """The end of what has left, by string."""
        self._new: dict[Key, None] = {}
        self._size = self._unseen = 0
        self.gone = 0
        """Bytes of the events that were let go, as they came."""

    def add(self, events: Sequence[Event]) -> bool:
        """Whether there is a window to look at."""
        for event in events:
            held = _held(event)
            self._events.append(held)
            self._size += held.size
            self._unseen += held.size
            for fragment in held.fragments:
                self._new[fragment.key] = None
        return self._size >= WINDOW and self._unseen >= OVERLAP

    def texts(self) -> list[str]:
        """What has come since it was last asked, with what stands before it."""
        keys, self._new, self._unseen = self._new, {}, 0
        joined = {key: [self._left.get(key, "")] for key in keys}
        for event in self._events:
            for fragment in event.fragments:
                if fragment.key in joined:
                    joined[fragment.key].append(fragment.text)
        return ["".join(texts) for texts in joined.values()]

    def let_go(self, find: Callable[[str], Sequence[Found]] | None = None, everything: bool = False) -> bytes:
        """What may leave, once `texts` were looked at. `find`: what must be taken out.

        Raises NotTakenOutError.
        """
        count = len(self._events) if everything else self._passed()
        if find is not None:
            count = self._cut(find, count, everything)
        leaving, self._events = self._events[:count], self._events[count:]
        for event in leaving:
            self._size -= event.size
            self.gone += len(event.raw)
            for fragment in event.fragments:
                self._remember(fragment)
        return b"".join([self._raw(event) for event in leaving])

    def _passed(self) -> int:
        """Events that have enough behind them."""
        count, behind = len(self._events), 0
        while count and behind < OVERLAP:
            count -= 1
            behind += self._events[count].size
        return count

    def _remember(self, fragment: _Fragment) -> None:
        text = fragment.text
        for (start, end), _ in reversed(fragment.cuts):
            text = text[:start] + " " + text[end:]
        left = self._left.pop(fragment.key, "")
        if len(self._left) >= _KEYS_MAX:
            del self._left[next(iter(self._left))]
        self._left[fragment.key] = (left + text)[-_CONTEXT:]

    def _cut(self, find: Callable[[str], Sequence[Found]], count: int, everything: bool) -> int:
        """Notes what must be taken out of which events; how many may leave, so that no place is cut in two."""
        spots = [spot for key in self._keys() for spot in self._spots(key, find)]
        if not everything and self._size < _LONGEST_PLACE:
            for first, last, _ in sorted(spots, key=lambda spot: spot[0], reverse=True):
                if first < count <= last:
                    count = first
        for first, _, cuts in spots:
            if first < count:
                for fragment, place, instead in cuts:
                    fragment.cuts.append((place, instead))
        return count

    def _keys(self) -> dict[Key, None]:
        return {fragment.key: None for event in self._events for fragment in event.fragments}

    def _spots(
        self, key: Key, find: Callable[[str], Sequence[Found]]
    ) -> list[tuple[int, int, list[tuple[_Fragment, Place, bytes]]]]:
        """Of each place in the text of a string: the first and the last event that has some of it, and the pieces."""
        before = self._left.get(key, "")
        texts = [before]
        fragments: list[tuple[int, int, _Fragment]] = []
        at = len(before)
        for number, event in enumerate(self._events):
            for fragment in event.fragments:
                if fragment.key == key:
                    fragment.cuts.clear()
                    fragments.append((at, number, fragment))
                    texts.append(fragment.text)
                    at += len(fragment.text)
        spots = []
        for category, start, end in merged(find("".join(texts))):
            mark = b"[%b]" % category.encode()
            cuts: list[tuple[_Fragment, Place, bytes]] = []
            numbers: list[int] = []
            for begun, number, fragment in fragments:
                place = max(start - begun, 0), min(end - begun, len(fragment.text))
                if place[0] < place[1]:
                    cuts.append((fragment, place, b"" if cuts else mark))
                    numbers.append(number)
            if cuts:
                spots.append((numbers[0], numbers[-1], cuts))
        return spots

    def _raw(self, event: _Held) -> bytes:
        changed = [fragment for fragment in event.fragments if fragment.cuts]
        if not changed:
            return event.raw
        data = event.data
        for fragment in sorted(changed, key=lambda each: each.start, reverse=True):
            if fragment.start < 0:
                raise NotTakenOutError
            raw = data[fragment.start : fragment.end]
            data = data[: fragment.start] + without(raw, sorted(fragment.cuts)) + data[fragment.end :]
        if self._reframe is not None:
            return self._reframe(event.raw, data)
        before, found, after = event.raw.partition(event.data)
        if not found:
            raise NotTakenOutError
        return before + data + after


def merged(found: Sequence[Found]) -> list[tuple[str, int, int]]:
    """Overlapping places as one, named for the first."""
    places: list[tuple[str, int, int]] = []
    for category, _, (start, end), _ in found:
        if places and start < places[-1][2]:
            first, begin, reached = places[-1]
            places[-1] = first, begin, max(reached, end)
        else:
            places.append((category, start, end))
    return places


def _held(event: Event) -> _Held:
    fragments = _fragments(event.data, changeable=True) if event.data not in _NOTHING else []
    return _Held(event.raw, event.data, fragments, sum([len(fragment.text) for fragment in fragments]))


def _fragments(data: bytes, changeable: bool) -> list[_Fragment]:
    if data[:1] not in (b"{", b"["):
        return [_Fragment((b"",), data.decode("utf-8", "replace"), -1, -1)]
    fragments: list[_Fragment] = []
    for key, start, end in strings_in(data):
        if start == end or (key[-1] in _NOT_SAID and _SAID.isdisjoint(key)):
            continue
        if key == _PACKED and (inner := _unpacked(data[start:end])) is not None:
            fragments += _fragments(inner, changeable=False)
            continue
        text = text_of(data[start:end])
        if text is None:
            fragments.append(_Fragment(key, data[start:end].decode("utf-8", "replace"), -1, -1))
        else:
            fragments.append(_Fragment(key, text, start if changeable else -1, end))
    return fragments


def _unpacked(packed: bytes) -> bytes | None:
    """The event inside; None where there is none, or another such inside that."""
    try:
        inner = base64.b64decode(packed, validate=True)
    except ValueError:
        return None
    return inner if inner[:1] == b"{" and b'"bytes"' not in inner else None
