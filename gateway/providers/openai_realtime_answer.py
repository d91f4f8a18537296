"""A Realtime response, whole or broken off, collected into a reading. No I/O."""

from typing import Any, Literal

import msgspec

from gateway.model.message import FinishReason, ResponseReading, Usage
from gateway.providers.errors import error_type_of
from gateway.providers.known import entry_of
from gateway.providers.lenient import count_or_none, text_or_none
from gateway.providers.modalities import add_modalities
from gateway.providers.openai_realtime_item import answer_of
from gateway.providers.openai_realtime_socket import SOUNDS

_DELTAS = {
    "response.output_text.delta": ("output_text", "text"),
    "response.text.delta": ("output_text", "text"),
    "response.output_audio_transcript.delta": ("output_audio", "transcript"),
    "response.audio_transcript.delta": ("output_audio", "transcript"),
}


class _Event(msgspec.Struct):
    type: Any = None
    item: Any = None
    item_id: Any = None
    content_index: Any = None
    delta: Any = None
    response: Any = None
    error: Any = None
    sounds: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class _Pieces:
    """One content of an item, as it came."""

    def __init__(self, kind: str, field: str) -> None:
        self.kind = kind
        self.field = field
        self.said: list[str] = []


class OpenAIRealtimeAnswer:
    """Implements `Answer`."""

    def __init__(self) -> None:
        self.ended = False
        self._reading = ResponseReading()
        self._response: dict[str, Any] = {}
        self._items: dict[str, dict[str, Any]] = {}
        """By id: as they were announced, with what came of them."""
        self._pieces: dict[str, dict[str, _Pieces]] = {}
        """Of their contents, by item and place."""
        self._sounds: dict[tuple[str, int], Any] = {}

    def body(self, data: bytes) -> None:
        self.event(data)

    def event(self, data: bytes, name: str = "") -> None:
        event = _decode(data)
        if not isinstance(event.type, str):
            raise ValueError("no event")
        if isinstance(event.response, dict):
            self._response = event.response
        match event.type:
            case "response.done" | "error":
                self.ended = True
                if event.error is not None:
                    self._reading.error_type = error_type_of(event.error)
            case "response.output_item.added" | "response.output_item.done":
                if isinstance(event.item, dict) and isinstance(event.item.get("id"), str):
                    self._items[event.item["id"]] = {**event.item}
            case "response.function_call_arguments.delta":
                self._add(event, "arguments")
            case kind if kind == SOUNDS:
                self._take_sounds(event.sounds)
            case kind if kind in _DELTAS:
                self._add_content(event, *_DELTAS[kind])

    def _take_sounds(self, sounds: Any) -> None:
        for sound in sounds if isinstance(sounds, list) else ():
            if isinstance(sound, dict) and type(sound.get("content_index")) is int:
                self._sounds[str(sound.get("item_id")), sound["content_index"]] = sound.get("audio")

    def _item(self, event: _Event, kind: str) -> dict[str, Any]:
        return self._items.setdefault(str(event.item_id), {"type": kind})

    def _add(self, event: _Event, field: str) -> None:
        item = self._item(event, "function_call")
        if isinstance(event.delta, str):
            item[field] = (text_or_none(item.get(field)) or "") + event.delta

    def _add_content(self, event: _Event, kind: str, field: str) -> None:
        self._item(event, "message")
        contents = self._pieces.setdefault(str(event.item_id), {})
        pieces = contents.setdefault(str(event.content_index), _Pieces(kind, field))
        if isinstance(event.delta, str):
            pieces.said.append(event.delta)

    def reading(self) -> ResponseReading:
        reading, response = self._reading, self._response
        reading.id = text_or_none(response.get("id"))
        items = response.get("output")
        if not isinstance(items, list) or not items:
            items = [_whole(item, self._pieces.get(item_id)) for item_id, item in self._items.items()]
        items = [self._with_sounds(item) for item in items]
        reason, raw = _finish(response, items)
        if items:
            reading.messages.append(entry_of(answer_of(items, reason)))
        reading.finish_reasons.append(reason)
        reading.raw_finish_reasons.append(raw)
        details = response.get("status_details")
        if isinstance(details, dict) and isinstance(details.get("error"), dict):
            reading.error_type = error_type_of(details["error"])
        elif response.get("status") == "failed":
            reading.error_type = error_type_of(None)
        _add_usage(reading, response.get("usage"))
        return reading

    def _with_sounds(self, item: Any) -> Any:
        content = item.get("content") if isinstance(item, dict) else None
        if not self._sounds or not isinstance(content, list):
            return item
        item_id = str(item.get("id"))
        parts = [
            {**part, "audio": self._sounds[item_id, at]}
            if isinstance(part, dict) and (item_id, at) in self._sounds
            else part
            for at, part in enumerate(content)
        ]
        heard = [{"type": "output_audio", "audio": audio} for (of, at), audio in self._sounds.items() if of == item_id]
        return {**item, "content": parts or heard}


def _whole(item: dict[str, Any], pieces: dict[str, _Pieces] | None) -> dict[str, Any]:
    """An item that no event has said whole, from its pieces."""
    if not pieces or item.get("content"):
        return item
    return {**item, "content": [{"type": each.kind, each.field: "".join(each.said)} for each in pieces.values()]}


def _finish(response: dict[str, Any], items: list[Any]) -> tuple[FinishReason, str]:
    status = text_or_none(response.get("status")) or ""
    details = response.get("status_details")
    said = text_or_none(details.get("reason")) if isinstance(details, dict) else None
    match status, said:
        case "completed", _:
            called = any(isinstance(item, dict) and item.get("type") == "function_call" for item in items)
            return ("tool_call" if called else "stop"), "completed"
        case "incomplete", "content_filter":
            return "content_filter", "content_filter"
        case "incomplete", _:
            return ("length" if said in (None, "max_output_tokens") else said), said or status
        case (("cancelled" | "failed"), _):
            return "error", said or status
    return "error", ""


def _add_usage(reading: ResponseReading, usage: Any) -> None:
    """Sums as the API has them: cached tokens are part of the input's. By modality under the convention's names."""
    if not isinstance(usage, dict):
        return
    into, out = count_or_none(usage.get("input_tokens")), count_or_none(usage.get("output_tokens"))
    details, out_details = _object(usage.get("input_token_details")), _object(usage.get("output_token_details"))
    cached = _object(details.get("cached_tokens_details"))
    state: Literal["reported", "partial", "missing"] = "reported"
    if into is None or out is None:
        state = "missing" if into is out else "partial"
    reading.usage = Usage(state, into, out, count_or_none(details.get("cached_tokens")))
    add_modalities(reading.attributes, details, cached, out_details)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
