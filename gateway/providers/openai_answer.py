"""An answer of OpenAI's Chat Completions, whole or as a stream of chunks, collected into a reading. No I/O."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from gateway.model.message import FinishReason, ResponseReading, Usage
from gateway.providers import settings
from gateway.providers.errors import error_type_of
from gateway.providers.known import entry_of
from gateway.providers.lenient import count_or_none, text_or_none
from gateway.providers.modalities import add_modalities
from gateway.providers.openai_message import WireMessage, neutral

_T = TypeVar("_T")
_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",  # Together
    "eos_token": "stop",  # Hugging Face
    "stop_sequence": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "content_filter": "content_filter",
    "error": "error",
    "abort": "error",  # vLLM
    "insufficient_system_resource": "error",  # DeepSeek
}


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _InputDetails(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    text_tokens: _Count | None = None
    image_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: _Count | None = None
    text_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    """As nearly every server says it; what does not fit is read by `_odd_usage`."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: _Count | None = None
    """DeepSeek's name for what is cached."""


class _Choice(msgspec.Struct):
    index: Any = None
    message: WireMessage | None = None
    text: Any = None
    """In place of a message: the older Completions API."""
    finish_reason: Any = None


class _Body(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    service_tier: Any = None
    system_fingerprint: Any = None
    error: Any = None
    object: Any = None
    type: Any = None
    code: Any = None


class _PlainBody(_Body):
    """A body whose usage is as expected: taken apart in the same call."""

    usage: _Usage | None = None


class _ChunkChoice(msgspec.Struct):
    index: Any = None
    delta: WireMessage | None = None
    text: Any = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[_ChunkChoice] | None = None
    usage: Any = None
    service_tier: Any = None
    system_fingerprint: Any = None
    error: Any = None


class _PlainChunk(_Chunk):
    usage: _Usage | None = None


_decode_plain_body = msgspec.json.Decoder(_PlainBody).decode
_decode_body = msgspec.json.Decoder(_Body).decode
_decode_plain_chunk = msgspec.json.Decoder(_PlainChunk).decode
_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class OpenAIChatAnswer:
    """Implements `Answer`."""

    __slots__ = ("_choices", "_reading", "_service_tier", "_status", "_system_fingerprint", "_whole", "ended")

    def __init__(self, status: int) -> None:
        self.ended = False
        self._status = status
        self._reading = ResponseReading()
        self._whole: list[_Choice] = []
        self._choices: dict[int, _Collected] = {}
        self._service_tier: Any = None
        self._system_fingerprint: Any = None

    def body(self, data: bytes) -> None:
        body = _decoded(_decode_plain_body, _decode_body, data)
        if body.error is not None:
            self._reading.error_type = error_type_of(body.error)
        elif body.object == "error":  # vLLM and Mistral: the error's fields stand at the top
            self._reading.error_type = error_type_of({"type": body.type, "code": body.code})
        elif body.choices is None and self._status < 400:
            raise ValueError("neither choices nor an error")
        self._take_facts(body)
        if body.choices is not None:
            self._whole = body.choices

    def event(self, data: bytes, name: str = "") -> None:
        if data.startswith(b"[DONE]"):
            self.ended = True
            return
        chunk = _decoded(_decode_plain_chunk, _decode_chunk, data)
        if chunk.error is not None:
            self._reading.error_type = error_type_of(chunk.error)
            self.ended = True
        self._take_facts(chunk)
        for choice in chunk.choices or ():
            index = choice.index if type(choice.index) is int else 0
            collected = self._choices.get(index)
            if collected is None:
                collected = self._choices[index] = _Collected()
            if choice.delta is not None:
                collected.add(choice.delta)
            elif choice.text is not None:
                collected.add(WireMessage(content=choice.text))
            if choice.finish_reason is not None:
                collected.finish_reason = choice.finish_reason

    def _take_facts(self, said: _Body | _Chunk) -> None:
        reading = self._reading
        if said.id and reading.id is None:
            reading.id = text_or_none(said.id)
        if said.model and not reading.model:
            reading.model = text_or_none(said.model)
        # Where null is said, as by every chunk but the last, what is known stays.
        if said.usage is not None:
            if type(said.usage) is _Usage:
                reading.usage = _usage(said.usage)
                _add_modalities(reading.attributes, said.usage)
            else:
                reading.usage = _odd_usage(said.usage)
                if isinstance(said.usage, dict):
                    into, out = said.usage.get("prompt_tokens_details"), said.usage.get("completion_tokens_details")
                    add_modalities(reading.attributes, into, None, out)
        if said.service_tier is not None:
            self._service_tier = said.service_tier
        if said.system_fingerprint is not None:
            self._system_fingerprint = said.system_fingerprint

    def reading(self) -> ResponseReading:
        reading = self._reading
        for whole in self._whole:
            if whole.message is not None:
                _finish(reading, whole.message, whole.finish_reason)
            elif whole.text is not None:
                _finish(reading, WireMessage(content=whole.text), whole.finish_reason)
        if self._choices:
            for _, choice in sorted(self._choices.items()):
                _finish(reading, choice.whole(), choice.finish_reason)
        if not reading.messages and self._status < 400:
            # A choice was to come and did not.
            reading.finish_reasons.append("error")
            reading.raw_finish_reasons.append("")
        if self._service_tier is not None and (text := text_or_none(self._service_tier)):
            reading.attributes.append((settings.RESPONSE_TIER, text))
        if self._system_fingerprint is not None and (text := text_or_none(self._system_fingerprint)):
            reading.attributes.append((settings.FINGERPRINT, text))
        return reading


def _decoded(plain: Callable[[bytes], _T], tolerant: Callable[[bytes], _T], data: bytes) -> _T:
    try:
        return plain(data)
    except msgspec.ValidationError:
        return tolerant(data)


def _finish(reading: ResponseReading, message: WireMessage, said_reason: Any) -> None:
    """Adds one whole choice."""
    raw = said_reason if isinstance(said_reason, str) else ""
    reason = _FINISH_REASONS.get(raw) or raw or "error"
    reading.messages.append(entry_of(neutral(message, reason, "assistant")))
    reading.finish_reasons.append(reason)
    reading.raw_finish_reasons.append(raw)


class _Collected:
    """One choice of a stream: the pieces of a message."""

    __slots__ = ("_calls", "_last_call", "_pieces", "finish_reason", "message")

    def __init__(self) -> None:
        self.message = WireMessage(role="assistant")
        self.finish_reason: Any = None
        self._pieces: dict[str, list[str]] = {}
        self._calls: dict[int, _Call] = {}
        self._last_call = -1

    def add(self, delta: WireMessage) -> None:
        content = delta.content
        if content:
            if isinstance(content, str):
                self._piece("content", content)
            else:
                self._chunks(content)
        if delta.tool_calls:
            self._tool_calls(delta.tool_calls)
        if delta.reasoning_content or delta.reasoning:
            self._piece("reasoning_content", delta.reasoning_content or delta.reasoning)
        if delta.refusal:
            self._piece("refusal", delta.refusal)
        if delta.function_call:
            self._function_call(delta.function_call)
        if delta.audio:
            self._audio(delta.audio)
        if delta.role is not None and delta.role != "":
            self.message.role = delta.role

    def _piece(self, field: str, text: Any) -> None:
        if isinstance(text, str):
            self._pieces.setdefault(field, []).append(text)

    def _chunks(self, chunks: Any) -> None:
        """Mistral streams lists of text and thinking chunks."""
        for part in neutral(WireMessage(content=chunks)).parts:
            content = getattr(part, "content", None)
            self._piece("reasoning_content" if type(part).__name__ == "Reasoning" else "content", content)

    def _tool_calls(self, deltas: Any) -> None:
        for delta in deltas if isinstance(deltas, list) else ():
            if not isinstance(delta, dict):
                continue
            index = delta.get("index")
            if type(index) is not int:
                # Some compatible servers leave the index out: an id then begins a call.
                index = self._last_call + 1 if delta.get("id") or self._last_call < 0 else self._last_call
            self._last_call = index
            self._calls.setdefault(index, _Call()).add(delta)

    def _function_call(self, delta: Any) -> None:
        self._calls.setdefault(-1, _Call()).add({"function": delta})

    def _audio(self, delta: Any) -> None:
        if isinstance(delta, dict):
            for field in ("transcript", "data"):
                self._piece(f"audio.{field}", delta.get(field))

    def whole(self) -> WireMessage:
        message = self.message
        if self._pieces:
            joined = {field: "".join(pieces) for field, pieces in self._pieces.items()}
            message.content = joined.get("content", message.content)
            message.reasoning_content = joined.get("reasoning_content", message.reasoning_content)
            message.refusal = joined.get("refusal", message.refusal)
            message.audio = {k[6:]: text for k, text in joined.items() if k.startswith("audio.")} or None
        if self._calls:
            message.tool_calls = [call.wire() for _, call in sorted(self._calls.items())]
        return message


class _Call:
    """A tool call in pieces."""

    __slots__ = ("_arguments", "_id", "_kind", "_name")

    def __init__(self) -> None:
        self._id: str | None = None
        self._kind = "function"
        self._name: str | None = None
        self._arguments: list[str] = []

    def add(self, delta: dict[str, Any]) -> None:
        self._id = self._id or text_or_none(delta.get("id"))
        if isinstance(delta.get("custom"), dict):
            self._kind = "custom"
        held = delta.get(self._kind)
        if not isinstance(held, dict):
            return
        self._name = self._name or text_or_none(held.get("name"))
        arguments = held.get("input" if self._kind == "custom" else "arguments")
        if isinstance(arguments, str):
            self._arguments.append(arguments)
        elif arguments is not None:  # an object at once, as some compatible servers send it
            self._arguments.append(msgspec.json.encode(arguments).decode())

    def wire(self) -> dict[str, Any]:
        arguments = "".join(self._arguments)
        field = "input" if self._kind == "custom" else "arguments"
        return {"id": self._id, self._kind: {"name": self._name, field: arguments}}


def _usage(usage: _Usage) -> Usage:
    into, out = usage.prompt_tokens, usage.completion_tokens
    details, out_details = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        _usage_state(into, out),
        into,
        out,
        usage.prompt_cache_hit_tokens if details is None else details.cached_tokens,
        None if details is None else details.cache_write_tokens,
        None if out_details is None else out_details.reasoning_tokens,
    )


def _add_modalities(attributes: settings.Attributes, usage: _Usage) -> None:
    into, out = usage.prompt_tokens_details, usage.completion_tokens_details
    if into is not None or out is not None:
        add_modalities(attributes, into and msgspec.structs.asdict(into), None, out and msgspec.structs.asdict(out))


def _usage_state(into: int | None, out: int | None) -> Literal["reported", "partial", "missing"]:
    if into is not None and out is not None:
        return "reported"
    return "missing" if into is out else "partial"


def _odd_usage(said: Any) -> Usage:
    """Counts written as doubles, details that are none: whatever is a count is taken."""
    if not isinstance(said, dict):
        return Usage()
    into, out = count_or_none(said.get("prompt_tokens")), count_or_none(said.get("completion_tokens"))
    into_details, out_details = said.get("prompt_tokens_details"), said.get("completion_tokens_details")
    if not isinstance(into_details, dict):
        into_details = {"cached_tokens": said.get("prompt_cache_hit_tokens")}  # DeepSeek's name
    if not isinstance(out_details, dict):
        out_details = {}
    return Usage(
        _usage_state(into, out),
        into,
        out,
        count_or_none(into_details.get("cached_tokens")),
        count_or_none(into_details.get("cache_write_tokens")),
        count_or_none(out_details.get("reasoning_tokens")),
    )
