"""An answer of Anthropic's Messages API, whole or as a stream of events, collected into a reading. No I/O."""

from typing import Any

import msgspec

from gateway.model.message import FinishReason, ResponseReading, Usage
from gateway.providers import settings
from gateway.providers.anthropic_blocks import neutral
from gateway.providers.errors import error_type_of
from gateway.providers.known import entry_of
from gateway.providers.lenient import count_or_none, text_or_none
from gateway.providers.parts import went_on

_FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_call",
    "refusal": "content_filter",
    "compaction": "compaction",
}
_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_STREAMED = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
    "compaction_delta": "content",
}
"""The field of each kind of delta that holds its text; other kinds (signatures, citations) are not what was said."""
_TYPES = {"thinking": "thinking", "content": "compaction"}
"""What a block is whose beginning was not seen, by such a field."""


class _Body(msgspec.Struct):
    type: Any = None
    id: Any = None
    model: Any = None
    role: Any = None
    content: Any = None
    stop_reason: Any = None
    usage: Any = None
    error: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    index: Any = None
    message: _Body | None = None
    content_block: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    usage: Any = None
    error: Any = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class AnthropicMessagesAnswer:
    """Implements `Answer`."""

    __slots__ = (
        "_blocks",
        "_compacted",
        "_final_usage",
        "_message",
        "_reading",
        "_started",
        "_status",
        "_usage",
        "ended",
    )

    def __init__(self, status: int, compacted: bool = False) -> None:
        """`compacted`: the request says so."""
        self.ended = False
        self._status = status
        self._compacted = compacted
        self._reading = ResponseReading()
        self._message = _Body()
        self._started = False
        self._usage: dict[str, int] = {}
        self._final_usage = False
        self._blocks: dict[int, _Block] = {}

    def body(self, data: bytes) -> None:
        body = _decode_body(data)
        if body.error is not None:
            self._reading.error_type = error_type_of(body.error)
            return
        if body.content is None and self._status < 400:
            raise ValueError("neither content nor an error")
        self._started = body.content is not None
        self._message = body
        self._take_usage(body.usage)
        self._final_usage = True

    def event(self, data: bytes, name: str = "") -> None:
        event = _decode_event(data)
        match event.type:
            case "content_block_delta" if event.delta is not None:
                self._block(event.index).add(event.delta)
            case "content_block_start" if event.content_block is not None:
                self._block(event.index).start = event.content_block
            case "message_start" if event.message is not None:
                self._started = True
                self._message = event.message
                self._take_usage(event.message.usage)
            case "message_delta":
                if event.delta is not None and event.delta.get("stop_reason") is not None:
                    self._message.stop_reason = event.delta["stop_reason"]
                # Cumulative, and laid over what the start said wherever it says something.
                self._final_usage |= self._take_usage(event.usage)
            case "message_stop":
                self.ended = True
            case "error":
                self._reading.error_type = error_type_of(event.error)
                self.ended = True

    def _block(self, index: Any) -> "_Block":
        # Without an index a delta belongs to the latest block.
        key = index if type(index) is int else max(self._blocks, default=0)
        return self._blocks.setdefault(key, _Block())

    def _take_usage(self, said: Any) -> bool:
        if not isinstance(said, dict):
            return False
        for field in _COUNTS:
            if (count := count_or_none(said.get(field))) is not None:
                self._usage[field] = count
        details = said.get("output_tokens_details")
        if isinstance(details, dict) and (count := count_or_none(details.get("thinking_tokens"))) is not None:
            self._usage["thinking_tokens"] = count
        return True

    def reading(self) -> ResponseReading:
        reading, message = self._reading, self._message
        reading.id = text_or_none(message.id)
        reading.model = text_or_none(message.model)
        reading.usage = self._counted()
        if self._started or self._blocks:
            raw = message.stop_reason if isinstance(message.stop_reason, str) else ""
            reason = _FINISH_REASONS.get(raw, raw or "error")
            content = message.content
            if self._blocks:
                content = [block.whole() for _, block in sorted(self._blocks.items())]
            said = neutral(message.role or "assistant", content, reason)
            reading.messages.append(entry_of(said))
            if not self._compacted and went_on(said.parts):
                reading.attributes.append((settings.COMPACTED, True))
            reading.finish_reasons.append(reason)
            reading.raw_finish_reasons.append(raw)
        elif self._status < 400:
            # An answer was to come and did not.
            reading.finish_reasons.append("error")
            reading.raw_finish_reasons.append("")
        return reading

    def _counted(self) -> Usage:
        """Anthropic leaves cached tokens out of `input_tokens`, the convention wants them in."""
        usage = self._usage
        read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
        into, out = usage.get("input_tokens"), usage.get("output_tokens")
        if into is not None:
            into += (read or 0) + (written or 0)
        if into is None and out is None:
            return Usage()
        # Until the last `message_delta` the output is only counted in part.
        whole = self._final_usage and into is not None and out is not None
        return Usage("reported" if whole else "partial", into, out, read, written, usage.get("thinking_tokens"))


class _Block:
    """One content block in pieces."""

    __slots__ = ("_pieces", "start")

    def __init__(self) -> None:
        self.start: dict[str, Any] = {}
        self._pieces: dict[str, list[str]] = {}

    def add(self, delta: dict[str, Any]) -> None:
        kind = delta.get("type")
        field = _STREAMED.get(kind) if isinstance(kind, str) else None
        # An empty piece says nothing: a tool without arguments keeps the empty object it began with.
        if field is not None and (text := text_or_none(delta.get(field))):
            self._pieces.setdefault(field, []).append(text)

    def whole(self) -> dict[str, Any]:
        block = self.start or {"type": next((_TYPES[field] for field in self._pieces if field in _TYPES), "text")}
        for field, pieces in self._pieces.items():
            text = "".join(pieces)
            if field == "partial_json":
                block = {**block, "input": text}
            else:
                begun = block.get(field)
                block = {**block, field: (begun if isinstance(begun, str) else "") + text}
        return block
