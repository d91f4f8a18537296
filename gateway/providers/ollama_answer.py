"""An answer of Ollama's chat or generate, whole or a line at a time, collected into a reading. No I/O."""

from typing import Any

import msgspec

from gateway.model.message import FinishReason, ResponseReading, Usage
from gateway.providers.known import entry_of
from gateway.providers.lenient import count_or_none, text_or_none
from gateway.providers.ollama_message import WireMessage, neutral

_FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}
_TEXTS = ("content", "thinking")


class Line(msgspec.Struct):
    """A whole answer and each line of a stream have the same fields."""

    model: Any = None
    message: WireMessage | None = None
    response: Any = None
    thinking: Any = None
    """Of generate, which has no message."""
    done: Any = None
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(Line).decode


class OllamaAnswer:
    """Implements `Answer`."""

    __slots__ = ("_calls", "_images", "_last", "_pieces", "_reading", "_role", "_status", "ended")

    def __init__(self, status: int) -> None:
        self.ended = False
        self._status = status
        self._reading = ResponseReading()
        self._role: Any = None
        self._pieces: dict[str, list[str]] = {field: [] for field in _TEXTS}
        self._calls: list[Any] = []
        self._images: list[Any] = []
        self._last = Line()

    def body(self, data: bytes) -> None:
        line = _decode(data)
        if self._status < 400 and line.error is None and line.message is None and line.response is None:
            raise ValueError("neither a message nor an error")
        self._take(line)

    def event(self, data: bytes, name: str = "") -> None:
        self._take(_decode(data))

    def _take(self, line: Line) -> None:
        reading = self._reading
        if line.error is not None:
            reading.error_type = "_OTHER"  # the API has no types, and the message may quote the conversation
            self.ended = True
        reading.model = reading.model or text_or_none(line.model)
        if line.message is not None:
            self._take_message(line.message)
        self._piece("content", line.response)
        self._piece("thinking", line.thinking)
        if line.done is True:
            self._last = line
            self.ended = True

    def _take_message(self, message: WireMessage) -> None:
        self._role = message.role or self._role
        self._piece("content", message.content)
        self._piece("thinking", message.thinking)
        # Each line has whole calls.
        if isinstance(message.tool_calls, list):
            self._calls += message.tool_calls
        if isinstance(message.images, list):
            self._images += message.images

    def _piece(self, field: str, text: Any) -> None:
        if isinstance(text, str) and text:
            self._pieces[field].append(text)

    def reading(self) -> ResponseReading:
        reading = self._reading
        raw = text_or_none(self._last.done_reason) or ("stop" if self._last.done is True else "")
        reason = _FINISH_REASONS.get(raw, raw or "error")
        if reason == "stop" and self._calls:
            reason = "tool_call"
        content, thinking = ("".join(self._pieces[field]) for field in _TEXTS)
        if content or thinking or self._calls or self._images or self._last.done is True:
            wire = WireMessage(self._role, content, thinking, self._images, self._calls)
            reading.messages.append(entry_of(neutral(wire, reason, "assistant")))
        if reading.messages or self._status < 400:
            # Without a message one was to come and did not.
            reading.finish_reasons.append(reason)
            reading.raw_finish_reasons.append(raw)
        reading.usage = usage_of(self._last)
        return reading


def usage_of(line: Line) -> Usage:
    into, out = count_or_none(line.prompt_eval_count), count_or_none(line.eval_count)
    if into is None and out is None:
        return Usage()
    return Usage("partial" if into is None or out is None else "reported", into, out)
