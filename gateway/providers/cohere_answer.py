"""An answer of Cohere's chat, version 2, whole or as a stream of events, collected into a reading. No I/O."""

from typing import Any

import msgspec

from gateway.model.message import FinishReason, ResponseReading, Usage
from gateway.providers.cohere_message import WireMessage, neutral
from gateway.providers.known import entry_of
from gateway.providers.lenient import count_or_none, text_or_none

_FINISH_REASONS: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_call",
    "ERROR": "error",
    "TIMEOUT": "error",
}
_FAILED = ("ERROR", "TIMEOUT")


class _Body(msgspec.Struct):
    id: Any = None
    message: Any = None
    """Of an error, the text that says what is wrong."""
    finish_reason: Any = None
    usage: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    id: Any = None
    index: Any = None
    delta: dict[str, Any] | None = None
    message: Any = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class CohereAnswer:
    """Implements `Answer`."""

    __slots__ = ("_blocks", "_calls", "_message", "_plan", "_raw_reason", "_reading", "_started", "_status", "ended")

    def __init__(self, status: int) -> None:
        self.ended = False
        self._status = status
        self._reading = ResponseReading()
        self._message = WireMessage()
        self._started = False
        self._raw_reason = ""
        self._plan: list[str] = []
        self._blocks: dict[int, _Block] = {}
        self._calls: dict[int, _Call] = {}

    def body(self, data: bytes) -> None:
        body = _decode_body(data)
        if self._status >= 400:
            return  # the error has no type, and the message may quote the conversation
        if not isinstance(body.message, dict):
            raise ValueError("no message")
        self._started = True
        self._message = _wire(body.message)
        self._reading.id = text_or_none(body.id)
        self._end(body.finish_reason, body.usage)

    def event(self, data: bytes, name: str = "") -> None:
        event = _decode_event(data)
        delta = event.delta or {}
        message = delta.get("message")
        held = message if isinstance(message, dict) else {}
        match event.type:
            case "message-start":
                self._started = True
                self._reading.id = text_or_none(event.id)
                self._message.role = held.get("role")
            case "content-start" | "content-delta":
                self._block(event.index).add(held.get("content"))
            case "tool-plan-delta" if plan := text_or_none(held.get("tool_plan")):
                self._plan.append(plan)
            case "tool-call-start" | "tool-call-delta":
                self._call(event.index).add(held.get("tool_calls"))
            case "message-end":
                if delta.get("error"):
                    self._reading.error_type = "_OTHER"
                self._end(delta.get("finish_reason"), delta.get("usage"))
                self.ended = True

    def _block(self, index: Any) -> "_Block":
        return self._blocks.setdefault(index if type(index) is int else max(self._blocks, default=0), _Block())

    def _call(self, index: Any) -> "_Call":
        return self._calls.setdefault(index if type(index) is int else max(self._calls, default=0), _Call())

    def _end(self, reason: Any, usage: Any) -> None:
        self._raw_reason = text_or_none(reason) or ""
        if self._raw_reason in _FAILED:
            self._reading.error_type = self._raw_reason
        self._reading.usage = usage_of(usage)

    def reading(self) -> ResponseReading:
        reading, message, raw = self._reading, self._message, self._raw_reason
        reason = _FINISH_REASONS.get(raw, raw or "error")
        if self._plan:
            message.tool_plan = "".join(self._plan)
        if self._blocks:
            message.content = [block.whole() for _, block in sorted(self._blocks.items())]
        if self._calls:
            message.tool_calls = [call.whole() for _, call in sorted(self._calls.items())]
        if self._started or self._blocks or self._calls or self._plan:
            reading.messages.append(entry_of(neutral(message, reason, "assistant")))
        if reading.messages or self._status < 400:
            # Without a message one was to come and did not.
            reading.finish_reasons.append(reason)
            reading.raw_finish_reasons.append(raw)
        return reading


def _wire(message: dict[str, Any]) -> WireMessage:
    return WireMessage(*(message.get(field) for field in ("role", "content", "tool_plan", "tool_calls")))


def usage_of(said: Any) -> Usage:
    """Counts are doubles. `tokens` went through the model, `billed_units` are paid for and may be fewer: where both are
    said the bill counts (semantic-conventions-genai, gen_ai.usage.input_tokens)."""
    fields = said if isinstance(said, dict) else {}
    into, out = _count(fields, "input_tokens"), _count(fields, "output_tokens")
    if into is None and out is None:
        return Usage()
    cached = count_or_none(fields.get("cached_tokens"))
    if cached is not None and into is not None and cached > into:
        cached = None  # counted in what went through the model: no part of a smaller bill, which the convention wants
    return Usage("partial" if into is None or out is None else "reported", into, out, cached)


def _count(usage: dict[str, Any], name: str) -> int | None:
    for kind in ("billed_units", "tokens"):
        counts = usage.get(kind)
        if isinstance(counts, dict) and (count := count_or_none(counts.get(name))) is not None:
            return count
    return None


class _Block:
    """One content block in pieces: text or thinking."""

    __slots__ = ("_kind", "_pieces")

    def __init__(self) -> None:
        self._kind = "text"
        self._pieces: list[str] = []

    def add(self, content: Any) -> None:
        if not isinstance(content, dict):
            return
        for kind in ("thinking", "text"):
            if piece := text_or_none(content.get(kind)):
                self._kind = kind
                self._pieces.append(piece)
        if content.get("type") == "thinking":
            self._kind = "thinking"

    def whole(self) -> dict[str, Any]:
        return {"type": self._kind, self._kind: "".join(self._pieces)}


class _Call:
    """A tool call in pieces."""

    __slots__ = ("_arguments", "_id", "_name")

    def __init__(self) -> None:
        self._id: str | None = None
        self._name: str | None = None
        self._arguments: list[str] = []

    def add(self, call: Any) -> None:
        if not isinstance(call, dict):
            return
        self._id = self._id or text_or_none(call.get("id"))
        function = call.get("function")
        if isinstance(function, dict):
            self._name = self._name or text_or_none(function.get("name"))
            if arguments := text_or_none(function.get("arguments")):
                self._arguments.append(arguments)

    def whole(self) -> dict[str, Any]:
        return {"id": self._id, "function": {"name": self._name, "arguments": "".join(self._arguments)}}
