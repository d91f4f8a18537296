"""What the models behind Bedrock's InvokeModel say natively: read by the API whose body it is. No I/O.

Anthropic's, OpenAI's and Nova's bodies are read as those APIs' own; Titan, Llama and Mistral by the fields of a text;
of images only size and hash is kept, of vectors nothing; the rest is raw text.
"""

from binascii import a2b_base64
from typing import Any

import msgspec

from gateway.model.message import FinishReason, Message, Part, ResponseReading, Text, Usage
from gateway.providers.anthropic_answer import AnthropicMessagesAnswer
from gateway.providers.bedrock_answer import EVENTS, BedrockConverseAnswer, is_failure, usage_of
from gateway.providers.errors import error_type_of
from gateway.providers.eventstream import CORRUPT
from gateway.providers.known import entry_of
from gateway.providers.lenient import count_or_none, raw_text, text_or_none
from gateway.providers.openai_answer import OpenAIChatAnswer
from gateway.providers.parts import blob
from gateway.providers.raw_media import without_media
from gateway.providers.reader import Answer

_METRICS = "amazon-bedrock-invocationMetrics"
_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "endoftext": "stop",
    "FINISH": "stop",
    "FINISHED": "stop",
    "COMPLETE": "stop",
    "STOP_CRITERIA_MET": "stop",
    "length": "length",
    "LENGTH": "length",
    "MAX_TOKENS": "length",
    "CONTENT_FILTERED": "content_filter",
    "RAG_QUERY_WHEN_RAG_DISABLED": "stop",
}
_TEXTS = ("generation", "outputText", "text", "completion")
_STOPS = ("stop_reason", "completionReason", "finish_reason")
_INPUTS = ("prompt_token_count", "inputTextTokenCount")
_OUTPUTS = ("generation_token_count", "totalOutputTextTokenCount", "tokenCount")
_VECTORS = frozenset({"embedding", "embeddings", "embeddingsByType"})
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_to_json = msgspec.json.Encoder().encode


class _Chunk(msgspec.Struct):
    bytes: str


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class BedrockInvokeAnswer:
    """Implements `Answer`: finds out by the first event, or the body, whose it is."""

    __slots__ = ("_answer", "_error", "_metrics", "_status", "ended")

    def __init__(self, status: int) -> None:
        self.ended = False
        self._status = status
        self._answer: Answer | None = None
        self._metrics: dict[str, Any] = {}
        self._error: str | None = None

    def body(self, data: bytes) -> None:
        native = _decode_object(data)
        # An error is AWS's own, whoever's model it is.
        failed = self._status >= 400
        answer: Answer = BedrockConverseAnswer(self._status) if failed else _answer_to(native, self._status)
        answer.body(data)
        self._answer = answer

    def event(self, data: bytes, name: str = "") -> None:
        if name == CORRUPT:
            raise ValueError("a frame that is not sound")
        if is_failure(name):
            self._error = error_type_of({"type": name})
            self.ended = True
        elif name == "chunk":
            # `binascii.Error` is a ValueError.
            self._native(a2b_base64(_decode_chunk(data).bytes))
        elif not name:
            self._native(data)

    def _native(self, data: bytes) -> None:
        native = _decode_object(data)
        answer = self._answer or _answer_to(native, self._status)
        if isinstance(answer, BedrockConverseAnswer):
            for name in EVENTS.intersection(native):
                answer.event(_to_json(native[name]), name)
        else:
            answer.event(data, "")
        self._answer = answer
        metrics = native.get(_METRICS)
        if isinstance(metrics, dict):
            # In the last event, whoever's model it is.
            self._metrics = metrics
            self.ended = True
        self.ended |= answer.ended

    def reading(self) -> ResponseReading:
        answer: Answer = self._answer or BedrockConverseAnswer(self._status)
        reading = answer.reading()
        reading.error_type = self._error or reading.error_type
        if reading.usage.state != "reported" and self._metrics:
            reading.usage = _measured(self._metrics, reading.usage)
        return reading


def _answer_to(native: dict[str, Any], status: int) -> Answer:
    if "choices" in native:
        return OpenAIChatAnswer(status)
    if isinstance(native.get("output"), dict) or not EVENTS.isdisjoint(native):
        return BedrockConverseAnswer(status)
    kind = native.get("type")
    if isinstance(kind, str) and (kind in ("message", "error", "ping") or kind.startswith(("message_", "content_"))):
        return AnthropicMessagesAnswer(status)
    return _PlainAnswer()


def _measured(metrics: dict[str, Any], said: Usage) -> Usage:
    into, out = count_or_none(metrics.get("inputTokenCount")), count_or_none(metrics.get("outputTokenCount"))
    if into is None or out is None:
        return said
    return usage_of({**metrics, "inputTokens": into, "outputTokens": out})


class _PlainAnswer:
    """Implements `Answer` for models that complete a text."""

    __slots__ = ("_counts", "_images", "_reason", "_said", "_text", "_unseen", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._text: list[str] = []
        self._images: list[Part] = []
        self._reason = ""
        self._counts: dict[str, int] = {}
        self._unseen = False
        self._said = False

    def body(self, data: bytes) -> None:
        self._take(data, whole=True)

    def event(self, data: bytes, name: str = "") -> None:
        self._take(data, whole=False)

    def _take(self, data: bytes, whole: bool) -> None:
        native = _decode_object(data)
        found = self._fields(native)
        if not _VECTORS.isdisjoint(native):
            self._unseen = True  # vectors are no text, and must not get into spans
            return
        self._said = True
        for field in ("results", "outputs", "generations", "completions"):
            items = native.get(field)
            for item in items if isinstance(items, list) else ():
                found |= isinstance(item, dict) and self._fields(item)
        images = native.get("images")
        for image in images if isinstance(images, list) else ():
            found |= isinstance(image, str)
            self._images.append(blob("image", image if isinstance(image, str) else "", None))
        if not found and _METRICS not in native:
            self._text.append(without_media(raw_text(data)))  # not understood is not unseen
            self._reason = self._reason or ("stop" if whole else "")

    def _fields(self, native: dict[str, Any]) -> bool:
        """Whether there was a text, even an empty one."""
        for fields, into in ((_INPUTS, "input"), (_OUTPUTS, "output")):
            for field in fields:
                if (count := count_or_none(native.get(field))) is not None:
                    self._counts[into] = count
        for field in _STOPS:
            self._reason = text_or_none(native.get(field)) or self._reason
        texts = [text for field in _TEXTS if isinstance(text := native.get(field), str)]
        self._text += texts
        return bool(texts)

    def reading(self) -> ResponseReading:
        reading = ResponseReading()
        into, out = self._counts.get("input"), self._counts.get("output")
        if into is not None or out is not None:
            whole = into is not None and (out is not None or self._unseen)
            reading.usage = Usage("reported" if whole else "partial", into, out)
        if self._said or not self._unseen:
            reason = _REASONS.get(self._reason, self._reason or ("stop" if self._images else "error"))
            text = "".join(self._text)
            parts: list[Part] = [Text(text)] if text else []
            reading.messages.append(entry_of(Message("assistant", (*parts, *self._images), finish_reason=reason)))
            reading.finish_reasons.append(reason)
            reading.raw_finish_reasons.append(self._reason)
        return reading
