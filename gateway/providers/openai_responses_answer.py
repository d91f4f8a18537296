"""An answer of OpenAI's Responses, whole or as a stream of events, collected into a reading. No I/O.

A stream's terminal event has the whole response; what came before is kept for streams that break off, and for servers
whose terminal event leaves the output out.
"""

from typing import Any

import msgspec

from gateway.model.message import FinishReason, ResponseReading
from gateway.providers import settings
from gateway.providers.errors import error_type_of
from gateway.providers.known import entry_of
from gateway.providers.lenient import text_or_none
from gateway.providers.openai_item import message_of, waits_for_client
from gateway.providers.openai_tokens import tokens_of
from gateway.providers.parts import went_on

_TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled"})
_REASONS: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
    "steered": "stop",  # the user went on before the model was through
}
_COMPACTED = "response.compaction"
"""What an answer is that has no status: everything so far as one item that stands for it."""
_WAITING = frozenset({"queued", "in_progress"})
_DELTAS: dict[str, tuple[str, str]] = {
    "response.output_text.delta": ("message", "output_text"),
    "response.refusal.delta": ("message", "refusal"),
    "response.audio.transcript.delta": ("message", "output_text"),
    "response.reasoning_text.delta": ("reasoning", "content"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary"),
    "response.function_call_arguments.delta": ("function_call", "arguments"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input"),
    "response.mcp_call_arguments.delta": ("mcp_call", "arguments"),
    "response.code_interpreter_call_code.delta": ("code_interpreter_call", "code"),
    "response.shell_call_command.delta": ("shell_call", "command"),
}
"""By event: the kind of item it is a piece of, and of which of its fields. Other events bring nothing to read."""


class _Response(msgspec.Struct):
    id: Any = None
    object: Any = None
    model: Any = None
    status: Any = None
    error: Any = None
    incomplete_details: Any = None
    output: Any = None
    usage: Any = None
    service_tier: Any = None
    type: Any = None
    code: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    response: _Response | None = None
    item: Any = None
    delta: Any = None
    output_index: Any = None
    content_index: Any = None
    summary_index: Any = None
    command_index: Any = None
    error: Any = None
    code: Any = None


_decode_body = msgspec.json.Decoder(_Response).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class OpenAIResponsesAnswer:
    """Implements `Answer`."""

    __slots__ = ("_compacted", "_error", "_items", "_poll", "_response", "_status", "_whole", "ended")

    def __init__(self, status: int, poll: bool = False, compacted: bool = False) -> None:
        """`compacted`: the request says so."""
        self.ended = False
        self._status = status
        self._compacted = compacted
        self._poll = poll
        self._whole = False
        self._response = _Response()
        self._items: dict[int, _Item] = {}
        self._error: str | None = None

    def body(self, data: bytes) -> None:
        body = _decode_body(data)
        if body.output is None and body.error is None and self._status < 400:
            raise ValueError("neither output nor an error")
        if body.error is not None:
            self._error = error_type_of(body.error)
        self._whole = True
        self._response = body

    def event(self, data: bytes, name: str = "") -> None:
        if data.startswith(b"[DONE]"):
            self.ended = True
            return
        event = _decode_event(data)
        kind = event.type if isinstance(event.type, str) else name
        if (piece := _DELTAS.get(kind)) is not None:
            if isinstance(event.delta, str) and event.delta:
                self._item(event.output_index).add(*piece, _place(event), event.delta)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._item(event.output_index).said(event.item, kind.endswith("done"))
        elif event.response is not None:
            self._response = event.response
            if kind in _TERMINAL:
                self.ended = True
            if event.response.error is not None:
                self._error = error_type_of(event.response.error)
        elif kind == "error" or event.error is not None:
            held = event.error if event.error is not None else {"code": event.code}
            self._error = error_type_of(held)
            self.ended = True

    def _item(self, index: Any) -> "_Item":
        # Without an index a piece belongs to the latest item.
        key = index if type(index) is int else max(self._items, default=0)
        return self._items.setdefault(key, _Item())

    def reading(self) -> ResponseReading:
        response, status = self._response, text_or_none(self._response.status) or ""
        reading = ResponseReading(id=text_or_none(response.id), model=text_or_none(response.model))
        reading.error_type = self._error
        items = response.output if isinstance(response.output, list) else []
        items = items or [item.whole() for _, item in sorted(self._items.items())]
        self._add_answer(reading, items, status)
        if not self._poll:
            reading.usage = tokens_of(response.usage)
        elif status:
            reading.attributes.append((settings.RESPONSE_STATUS, status))
        if tier := text_or_none(response.service_tier):
            reading.attributes.append((settings.RESPONSE_TIER, tier))
        return reading

    def _add_answer(self, reading: ResponseReading, items: list[Any], status: str) -> None:
        if self._whole and status in _WAITING:
            # Made in the background: it has not ended, so there is no reason why.
            if items:
                reading.messages.append(entry_of(message_of(items, None, "assistant")))
            return
        if not items and self._status >= 400:
            return
        reason, raw = self._reason(items, status)
        if items:
            said = message_of(items, reason, "assistant")
            reading.messages.append(entry_of(said))
            if not self._compacted and went_on(said.parts):
                reading.attributes.append((settings.COMPACTED, True))
        reading.finish_reasons.append(reason)
        reading.raw_finish_reasons.append(raw)

    def _reason(self, items: list[Any], status: str) -> tuple[FinishReason, str]:
        match status:
            case "completed":
                called = any(map(waits_for_client, items))
                return ("tool_call" if called else "stop"), status
            case "incomplete":
                details = self._response.incomplete_details
                raw = (text_or_none(details.get("reason")) if isinstance(details, dict) else None) or status
                return _REASONS.get(raw, raw), raw
            case "failed" | "cancelled":
                return "error", status
        return ("compaction", _COMPACTED) if self._response.object == _COMPACTED else ("error", "")


def _place(event: _Event) -> int:
    """Of a piece among its item's parts of the same kind."""
    for index in (event.content_index, event.summary_index, event.command_index):
        if type(index) is int:
            return index
    return 0


class _Item:
    """One output item in pieces."""

    __slots__ = ("_base", "_done", "_kind", "_pieces")

    def __init__(self) -> None:
        self._base: Any = None
        self._done = False
        self._kind = "message"
        self._pieces: dict[tuple[str, int], list[str]] = {}

    def add(self, kind: str, field: str, place: int, piece: str) -> None:
        self._kind = kind
        self._pieces.setdefault((field, place), []).append(piece)

    def said(self, item: Any, done: bool) -> None:
        self._base = item
        self._done = done

    def whole(self) -> Any:
        """The item as its last event told it, else what its pieces come to."""
        base = self._base if isinstance(self._base, dict) else {"type": self._kind}
        if self._done or not self._pieces:
            return self._base if self._base is not None else base
        item = dict(base)
        for (field, place), pieces in sorted(self._pieces.items()):
            _put(item, field, place, "".join(pieces))
        return item


def _put(item: dict[str, Any], field: str, place: int, text: str) -> None:
    match field:
        case "output_text" | "refusal":
            key = "text" if field == "output_text" else "refusal"
            item["content"] = [*_pieced(item, "content"), {"type": field, key: text}]
        case "summary" | "content":
            item[field] = [*_pieced(item, field), {"text": text}]
        case "command":
            item["action"] = {"commands": [*_pieced(item.get("action"), "commands"), text]}
        case _:
            item[field] = text


def _pieced(item: Any, field: str) -> list[Any]:
    """What stands there already; the empty beginnings that an added item has are none of it."""
    held = item.get(field) if isinstance(item, dict) else None
    return [part for part in held if part] if isinstance(held, list) else []
