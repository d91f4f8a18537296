"""An answer of Bedrock's Converse API, whole or as a stream of events, collected into a reading. No I/O."""

from typing import Any

import msgspec

from gateway.model.message import FinishReason, ResponseReading, Usage
from gateway.providers.bedrock_blocks import neutral
from gateway.providers.errors import error_type_of
from gateway.providers.eventstream import CORRUPT
from gateway.providers.known import entry_of
from gateway.providers.lenient import count_or_none, text_or_none

_FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_call",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
EVENTS = frozenset(
    {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
)
_ENDINGS = ("exception", "error", "failure", "fault")


class _Body(msgspec.Struct, rename="camel"):
    output: Any = None
    stop_reason: Any = None
    usage: Any = None
    trace: Any = None
    kind: Any = msgspec.field(default=None, name="__type")
    code: Any = None


class _Event(msgspec.Struct, rename="camel"):
    role: Any = None
    content_block_index: Any = None
    start: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    stop_reason: Any = None
    usage: Any = None
    trace: Any = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_event = msgspec.json.Decoder(_Event).decode


def is_failure(name: str) -> bool:
    """Whether a frame of this name is an exception or error: AWS names all of them so."""
    return name.lower().endswith(_ENDINGS)


class BedrockConverseAnswer:
    """Implements `Answer`."""

    __slots__ = ("_blocks", "_content", "_reading", "_role", "_started", "_status", "_stop", "_usage", "ended")

    def __init__(self, status: int) -> None:
        self.ended = False
        self._status = status
        self._reading = ResponseReading()
        self._role: Any = None
        self._content: Any = None
        self._stop = ""
        self._usage: Any = None
        self._started = False
        self._blocks: dict[int, _Block] = {}

    def body(self, data: bytes) -> None:
        body = _decode_body(data)
        message = body.output.get("message") if isinstance(body.output, dict) else None
        if not isinstance(message, dict):
            if self._status < 400:
                raise ValueError("neither a message nor an error")
            # The type is most often in a header, which a body's reader does not see.
            if body.kind is not None or body.code is not None:
                said = body.kind if isinstance(body.kind, str) else ""
                self._reading.error_type = error_type_of({"type": said.rpartition("#")[2], "code": body.code})
            return
        self._started = True
        self._role, self._content = message.get("role"), message.get("content")
        self._finish(body.stop_reason, body.usage, body.trace)

    def event(self, data: bytes, name: str = "") -> None:
        if name == CORRUPT:
            raise ValueError("a frame that is not sound")
        event = _decode_event(data)
        match name:
            case "contentBlockDelta" if event.delta is not None:
                self._block(event.content_block_index).add(event.delta)
            case "contentBlockStart" if event.start is not None:
                self._block(event.content_block_index).start = event.start
            case "messageStart":
                self._started = True
                self._role = event.role
            case "messageStop":
                self._started = True
                self._finish(event.stop_reason, None, None)
            case "metadata":
                self._finish(None, event.usage, event.trace)
                self.ended = True
            case _ if is_failure(name):
                self._reading.error_type = error_type_of({"type": name})
                self.ended = True

    def _finish(self, stop: Any, usage: Any, trace: Any) -> None:
        self._stop = text_or_none(stop) or self._stop
        self._usage = usage or self._usage
        match trace:
            case {"promptRouter": {"invokedModelId": str(model)}} if model:
                self._reading.model = model

    def _block(self, index: Any) -> "_Block":
        # Without an index a delta belongs to the latest block.
        key = index if type(index) is int else max(self._blocks, default=0)
        return self._blocks.setdefault(key, _Block())

    def reading(self) -> ResponseReading:
        reading = self._reading
        reading.usage = usage_of(self._usage)
        if self._started or self._blocks:
            reason = _FINISH_REASONS.get(self._stop, self._stop or "error")
            content = self._content
            if self._blocks:
                content = [part for _, block in sorted(self._blocks.items()) for part in block.whole()]
            role = self._role or "assistant"
            reading.messages.append(entry_of(neutral(role, content, reason)))
            reading.finish_reasons.append(reason)
            reading.raw_finish_reasons.append(self._stop)
        elif self._status < 400:
            # An answer was to come and did not.
            reading.finish_reasons.append("error")
            reading.raw_finish_reasons.append("")
        return reading


def usage_of(said: Any) -> Usage:
    """Bedrock leaves cached tokens out of `inputTokens`, the convention wants them in."""
    if not isinstance(said, dict):
        return Usage()
    into, out = count_or_none(said.get("inputTokens")), count_or_none(said.get("outputTokens"))
    read, written = _cached(said, "Read"), _cached(said, "Write")
    if into is None and out is None:
        return Usage()
    if into is not None:
        into += (read or 0) + (written or 0)
    return Usage("reported" if into is not None and out is not None else "partial", into, out, read, written)


def _cached(said: dict[str, Any], what: str) -> int | None:
    """Nova's native answers call it a count."""
    return count_or_none(said.get(f"cache{what}InputTokens", said.get(f"cache{what}InputTokenCount")))


class _Block:
    """One content block in pieces. One of text has no start, and its deltas tell its kind."""

    __slots__ = ("_input", "_others", "_reasoning", "_redacted", "_results", "_text", "start")

    def __init__(self) -> None:
        self.start: dict[str, Any] = {}
        self._text: list[str] = []
        self._input: list[str] = []
        self._reasoning: list[str] = []
        self._redacted = False
        self._results: list[Any] = []
        self._others: list[dict[str, Any]] = []

    def add(self, delta: dict[str, Any]) -> None:
        match delta:
            case {"text": str(text)}:
                self._text.append(text)
            case {"toolUse": {"input": str(piece)}}:
                self._input.append(piece)
            case {"reasoningContent": {"text": str(text)}}:
                self._reasoning.append(text)
            case {"reasoningContent": {"redactedContent": _}}:
                self._redacted = True
            case {"reasoningContent": {"signature": _}} | {"citation": _}:
                pass
            case {"toolResult": list(results)}:
                self._results += results
            case _:
                self._others.append(delta)

    def whole(self) -> list[dict[str, Any]]:
        """The block as an answer that was not streamed has it; a stream that goes wrong may have mixed several."""
        blocks: list[dict[str, Any]] = []
        if self._reasoning:
            blocks.append({"reasoningContent": {"reasoningText": {"text": "".join(self._reasoning)}}})
        if self._redacted:
            blocks.append({"reasoningContent": {"redactedContent": ""}})
        if self._text:
            blocks.append({"text": "".join(self._text)})
        call, result, image = (self.start.get(kind) for kind in ("toolUse", "toolResult", "image"))
        if isinstance(call, dict) or self._input:
            # A tool without arguments is streamed without a piece of input: an empty object.
            blocks.append({"toolUse": {**(call if isinstance(call, dict) else {}), "input": self._arguments()}})
        if isinstance(result, dict) or self._results:
            blocks.append({"toolResult": {**(result if isinstance(result, dict) else {}), "content": self._results}})
        for other in self._others:
            match other:
                case {"image": {"source": dict()} as piece} if isinstance(image, dict):
                    blocks.append({"image": {**image, **piece}})
                case _:
                    blocks.append(other)
        return blocks

    def _arguments(self) -> Any:
        return "".join(self._input) if any(self._input) else {}
