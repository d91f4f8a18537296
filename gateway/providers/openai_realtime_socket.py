"""OpenAI's Realtime over its WebSocket: the conversation so far, and which events belong to which response. No I/O.

An exchange's request is what the model has before it: session, items, and what `response.create` says. Sound is hashed
as it passes and never kept.

Source: types of openai 3.54 (`types/realtime/realtime_client_event.py`, `realtime_server_event.py`); the names before
general availability (`response.audio.delta`, `conversation.item.created`) are understood as well.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.contracts import Dialogue, Step
from gateway.model.exchange import Refusal
from gateway.model.randomness import random_bytes
from gateway.providers.lenient import value_of
from gateway.providers.openai_realtime_memory import Memory, Sound
from gateway.providers.socket_events import Event, clear, error_of, read_event

SOUNDS = "spangate.sounds"
"""Type of an event of our own: what stands for the sound of a response."""
_ITEM_SAID = frozenset({"conversation.item.created", "conversation.item.added", "conversation.item.done"})
_SOUND_SENT = frozenset({"input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear"})
_KEPT = frozenset({"conversation.item.create", "session.update"})
_UNDERSTOOD = _KEPT | {"transcription_session.update", "response.cancel", "output_audio_buffer.clear"}
_UNDERSTOOD |= {f"conversation.item.{what}" for what in ("delete", "retrieve", "truncate")}
"""Of what a client says beside sound and `response.create`, what can be read as part of a request."""
_SOUND_DELTAS = frozenset({"response.output_audio.delta", "response.audio.delta"})
_to_json = msgspec.json.Encoder().encode


class _Event(Event):
    event_id: Any = None
    session: Any = None
    item: Any = None
    item_id: Any = None
    content_index: Any = None
    response: Any = None
    response_id: Any = None
    transcript: Any = None
    audio: Any = None
    delta: Any = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Event)


class RealtimeSocket:
    """Implements `Spoken`."""

    name = "openai_realtime"

    def spoken_at(self, path: str) -> bool:
        return path.endswith("/realtime")

    def dialogue(self, strict: bool) -> Dialogue:
        return _Realtime(strict)


class _Realtime:
    """Implements `Dialogue`."""

    def __init__(self, strict: bool) -> None:
        self.session = ""
        self._strict = strict
        self._memory = Memory()
        self._count = 0
        self._asked: deque[tuple[int, str]] = deque()
        """Responses that a client asked for and that have not begun, with the asking event's id."""
        self._running: dict[str, int] = {}
        """By the response's id."""
        self._undo: dict[int, Memory] = {}
        """What there was before an event that is being asked about."""
        self._sounds: dict[int, dict[tuple[str, int], Sound]] = {}
        self._asking_event: dict[int, str] = {}

    def client_event(self, event: bytes, whole: bool) -> Step | None:
        read, whole = read_event(_decoder, _Event, event, whole)
        if read is None and whole:  # the upstream answers an error, or finds a response asked for
            return self._ask(event, read, whole)
        if read is None or (self._strict and self._doubtful(read, event, whole)):
            self._memory.leave_out()
            return self._pass(event, read)
        if read.type == "response.create":
            return self._ask(event, read, whole)
        if self._strict and read.type not in _SOUND_SENT:
            return self._pass_seen(event, read)
        self._remember(lambda: self._heed(read, whole))
        return None

    def _doubtful(self, read: _Event, event: bytes, whole: bool) -> bool:
        """SECURITY: what it shows of its type may not be the type that its upstream reads."""
        return not clear(event) if whole else read.type != "response.create"

    def _pass(self, event: bytes, read: _Event | None) -> Step:
        """It is seen whatever it is, and waits for no response: the upstream begins one where it asked for one."""
        self._count += 1
        self._asking_event[self._count] = _id_of(read)
        return Step(self._count, request=event, passes=True)

    def _pass_seen(self, event: bytes, read: _Event) -> Step:
        """SECURITY: asked about on its own. An upstream may answer by itself once somebody has spoken, with all that
        was said before; it may refuse what would take an earlier text's place; it may know events that we do not."""
        step = self._pass(event, read)
        if read.type in _KEPT:
            held = self._memory.copy()
            self._remember(lambda: self._heed(read, True))
            self._undo[step.number] = held
        return step._replace(request=_as_request(event)) if read.type in _UNDERSTOOD else step

    def _remember(self, what: Callable[[], None]) -> None:
        try:
            what()
        except (ValueError, RecursionError):  # nested more deeply than can be written again
            self._memory.leave_out()

    def _heed(self, read: _Event, whole: bool) -> None:
        match read.type:
            case "session.update":
                self._memory.change_session(read.session, whole)
            case "conversation.item.create":
                self._memory.add(read.item, whole)
            case "input_audio_buffer.append":
                self._memory.sound.add(read.audio)
            case "input_audio_buffer.clear":
                self._memory.sound = Sound()

    def _ask(self, event: bytes, read: _Event | None, whole: bool) -> Step:
        self._count += 1
        event_id = _id_of(read)
        self._asked.append((self._count, event_id))
        self._asking_event[self._count] = event_id
        if read is None or not whole:
            return Step(self._count, request=event)
        return Step(self._count, request=self._request(read.response, event, beside=True))

    def _request(self, response: Any, event: bytes, beside: bool = False) -> bytes:
        """`beside`: with what the event says beside the response."""
        try:
            return self._memory.request(response, _beside(event, "response") if self._strict and beside else {})
        except (ValueError, RecursionError):
            return event  # unreadable is not empty

    def server_event(self, event: bytes, whole: bool) -> Step | None:
        read, whole = read_event(_decoder, _Event, event, whole)
        if read is None:
            return None
        if read.type == "error":
            return self._error(read, event)
        if read.type.startswith("response."):
            return self._response(read.type, read, event)
        self._remember(lambda: self._hear(read, whole))
        return None

    def _hear(self, read: _Event, whole: bool) -> None:
        match read.type:
            case "session.created" | "session.updated":
                self._take_session(read.session, whole)
            case kind if kind in _ITEM_SAID:
                self._memory.said(read.item, whole)
            case "conversation.item.deleted":
                self._memory.forget(read.item_id)
            case "input_audio_buffer.committed":
                self._memory.committed(read.item_id)
            case "conversation.item.input_audio_transcription.completed":
                self._memory.transcribed(read.item_id, read.content_index, read.transcript)

    def _take_session(self, session: Any, whole: bool) -> None:
        self._memory.set_session(session, whole)
        if isinstance(session, dict) and isinstance(session.get("id"), str) and not self.session:
            self.session = session["id"]

    def _response(self, kind: str, read: _Event, event: bytes) -> Step | None:
        named = read.response.get("id") if isinstance(read.response, dict) else read.response_id
        response = named if isinstance(named, str) else ""
        if kind == "response.created":
            return self._begun(response, event)
        number = self._running.get(response)
        if number is None:
            return None
        if kind in _SOUND_DELTAS:
            place = (str(read.item_id), read.content_index if type(read.content_index) is int else 0)
            self._sounds.setdefault(number, {}).setdefault(place, Sound()).add(read.delta)
            return None
        if kind == "response.output_item.done":
            self._remember(lambda: self._memory.completed(read.item))
        return Step(number, kept=event, ends=kind == "response.done")

    def _begun(self, response: str, event: bytes) -> Step:
        if self._asked:
            number, _ = self._asked.popleft()
            self._running[response] = number
            return Step(number, kept=event)
        # Nobody asked: speech has ended, and the server answers by itself.
        self._count += 1
        self._running[response] = self._count
        return Step(self._count, request=self._request(None, event), kept=event)

    def _error(self, read: _Event, event: bytes) -> Step | None:
        """Errors leave the connection open, and most of them are no response's."""
        error = read.error if isinstance(read.error, dict) else {}
        cause, code = error.get("event_id"), error.get("code")
        for asked in self._asked:
            number, event_id = asked
            if cause == event_id or (not cause and not event_id and not _about_sound(code)):
                self._asked.remove(asked)
                return Step(number, kept=event, ends=True, failed=True)
        return None

    def left(self, number: int) -> bytes:
        self._asking_event.pop(number, None)
        self._undo.pop(number, None)
        self._asked = deque(asked for asked in self._asked if asked[0] != number)
        self._running = {response: each for response, each in self._running.items() if each != number}
        sounds = self._sounds.pop(number, None)
        if not sounds:
            return b""
        said = [{"item_id": item, "content_index": at, "audio": sound.blob()} for (item, at), sound in sounds.items()]
        return _to_json({"type": SOUNDS, "sounds": said})

    def refusal(self, number: int, refusal: Refusal) -> bytes:
        undo = self._undo.pop(number, None)
        if undo is not None:  # it stays here: the upstream never hears of it
            self._memory = undo
        error = error_of(refusal) | {"event_id": self._asking_event.get(number) or None}
        return _to_json({"type": "error", "event_id": f"event_{random_bytes(12).hex()}", "error": error})


def _as_request(event: bytes) -> bytes:
    """What a client's event says, as the request that is asked about."""
    try:
        said = value_of(event)
        session, item = said.get("session"), said.get("item")
        beside = _beside(event, "session", "item")
        session = session if isinstance(session, dict) else {}
        items = [] if item is None else [item]
        return _to_json({"session": session, "items": items, "response": {}, "beside": beside})
    except (ValueError, RecursionError):
        return event  # unreadable is not empty


def _beside(event: bytes, *objects: str) -> dict[str, Any]:
    """The fields of an event but its type and the objects of these names. Raises ValueError."""
    said = value_of(event)
    return {
        name: value
        for name, value in said.items()
        if name != "type" and not (name in objects and isinstance(value, dict)) and value is not None
    }


def _id_of(read: _Event | None) -> str:
    return read.event_id if read is not None and isinstance(read.event_id, str) else ""


def _about_sound(code: Any) -> bool:
    return isinstance(code, str) and code.startswith("input_audio")
