"""An answer of Google's generateContent, whole or as a stream of answers, collected into a reading. No I/O."""

from typing import Any

import msgspec

from gateway.model.message import FinishReason, Part, Reasoning, ResponseReading, Text, ToolCall, Usage
from gateway.providers.errors import error_type_of
from gateway.providers.gemini_calls import CallInPieces, piece_of_call
from gateway.providers.gemini_content import neutral, read_part
from gateway.providers.google_names import camel_keys
from gateway.providers.known import entry_of
from gateway.providers.lenient import count_or_none, text_or_none
from gateway.providers.modalities import add_modalities

_FINISH_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",  # to be gone on with in another request
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",  # the account broke the rules on what may be asked
    "FINISH_REASON_UNSPECIFIED": "error",
    "LANGUAGE": "error",
    "OTHER": "error",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "MALFORMED_RESPONSE": "error",
    "NO_IMAGE": "error",
    "IMAGE_OTHER": "error",
}
_SAID = ("candidates", "promptFeedback", "usageMetadata", "error", "responseId", "modelVersion")

_decode_any = msgspec.json.Decoder().decode


class GeminiAnswer:
    """Implements `Answer`. A whole answer and each event of a stream have the same shape."""

    __slots__ = ("_blocked", "_candidates", "_reading", "_status", "_usage", "ended")

    def __init__(self, status: int) -> None:
        self.ended = False
        self._status = status
        self._reading = ResponseReading()
        self._candidates: dict[int, _Candidate] = {}
        self._usage: dict[str, Any] | None = None
        self._blocked = ""

    def body(self, data: bytes) -> None:
        """Also a stream's array at once: errors come so where a stream was asked for."""
        said = _decode_any(data)
        answers = [_answer(each) for each in said] if isinstance(said, list) else [_answer(said)]
        if self._status < 400 and not any(field in answer for answer in answers for field in _SAID):
            raise ValueError("neither candidates nor an error")
        for answer in answers:
            self._take(answer)

    def event(self, data: bytes, name: str = "") -> None:
        self._take(_answer(_decode_any(data)))

    def _take(self, answer: dict[str, Any]) -> None:
        reading = self._reading
        if (error := answer.get("error")) is not None:
            reading.error_type = error_type_of(error)
            self.ended = True
        reading.id = reading.id or text_or_none(answer.get("responseId"))
        reading.model = reading.model or text_or_none(answer.get("modelVersion"))
        if isinstance(usage := answer.get("usageMetadata"), dict):
            self._usage = camel_keys(usage)  # cumulative: the last one counts
        if isinstance(feedback := answer.get("promptFeedback"), dict):
            self._blocked = text_or_none(camel_keys(feedback).get("blockReason")) or self._blocked
        candidates = answer.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict):
                self._take_candidate(camel_keys(candidate))
        if self._candidates and all(each.finish_reason for each in self._candidates.values()):
            self.ended = True

    def _take_candidate(self, candidate: dict[str, Any]) -> None:
        index = candidate.get("index")
        collected = self._candidates.setdefault(index if type(index) is int else 0, _Candidate())
        content = candidate.get("content")
        if isinstance(content, dict):
            collected.add(content.get("parts"))
        collected.finish_reason = text_or_none(candidate.get("finishReason")) or collected.finish_reason

    def reading(self) -> ResponseReading:
        reading = self._reading
        for _, candidate in sorted(self._candidates.items()):
            parts, reason = candidate.finished()
            reading.messages.append(entry_of(neutral("model", parts, "assistant", reason)))
            reading.finish_reasons.append(reason)
            reading.raw_finish_reasons.append(candidate.finish_reason)
        if not self._candidates and (self._blocked or self._status < 400):
            # An answer was to come and did not: refused before it began, or lost.
            reading.finish_reasons.append("content_filter" if self._blocked else "error")
            reading.raw_finish_reasons.append(self._blocked)
        reading.usage = usage_of(self._usage, self.ended)
        if self._usage is not None:
            into = _by_modality(self._usage, "promptTokensDetails", "toolUsePromptTokensDetails")
            cached, out = (_by_modality(self._usage, f"{kind}TokensDetails") for kind in ("cache", "candidates"))
            add_modalities(reading.attributes, into, cached, out)
        return reading


def _answer(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise ValueError("not an answer")
    return camel_keys(said)


def usage_of(said: dict[str, Any] | None, final: bool) -> Usage:
    """Google counts thoughts beside the candidates and tools' results beside the prompt; the convention has them in."""
    if said is None:
        return Usage()
    prompt, tools = count_or_none(said.get("promptTokenCount")), count_or_none(said.get("toolUsePromptTokenCount"))
    spoken, thought = count_or_none(said.get("candidatesTokenCount")), count_or_none(said.get("thoughtsTokenCount"))
    into, out = _sum(prompt, tools), _sum(spoken, thought)
    if into is None and out is None:
        return Usage()
    whole = final and into is not None and out is not None
    cached = count_or_none(said.get("cachedContentTokenCount"))
    return Usage("reported" if whole else "partial", into, out, cached, None, thought)


def _by_modality(usage: dict[str, Any], *fields: str) -> dict[str, int]:
    """As OpenAI has it; what has no modality is text. Of a document or a video the convention has no count."""
    counts: dict[str, int] = {}
    for field in fields:
        details = usage.get(field)
        for said in details if isinstance(details, list) else ():
            if not isinstance(said, dict):
                continue
            named = camel_keys(said)
            modality = (text_or_none(named.get("modality")) or "TEXT").lower().replace("modality_unspecified", "text")
            name = f"{modality}_tokens"
            if (count := count_or_none(named.get("tokenCount"))) is not None:
                counts[name] = counts.get(name, 0) + count
    return counts


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None and second is None else (first or 0) + (second or 0)


class _Candidate:
    """One candidate, in as many pieces as it came."""

    __slots__ = ("_call", "_parts", "_pieces", "finish_reason")

    def __init__(self) -> None:
        self.finish_reason = ""
        self._call: CallInPieces | None = None
        self._parts: list[Part] = []
        self._pieces: list[str] = []
        """Of the text or thought that ends `_parts`."""

    def add(self, parts: Any) -> None:
        for said in parts if isinstance(parts, list) else ():
            if (call := piece_of_call(said)) is not None:
                self._add_piece(call)
                continue
            for part in read_part(said):
                self._add(part)

    def _add_piece(self, call: dict[str, Any]) -> None:
        if self._call is None or call.get("name"):
            self._close()
            self._call = CallInPieces()
        self._call.add(call)
        if call.get("willContinue") is not True:
            self._close()

    def _add(self, part: Part) -> None:
        if isinstance(part, Text | Reasoning):
            if self._pieces and self._call is None and type(self._parts[-1]) is type(part):
                self._pieces.append(part.content)
                return
            self._close()
            self._pieces = [part.content]
        else:
            self._close()
        self._parts.append(part)

    def _close(self) -> None:
        """What comes next belongs to nothing that came before."""
        if len(self._pieces) > 1:
            kind = Text if isinstance(self._parts[-1], Text) else Reasoning
            self._parts[-1] = kind("".join(self._pieces))
        self._pieces = []
        if self._call is not None:
            self._parts.append(self._call.whole())
            self._call = None

    def finished(self) -> tuple[tuple[Part, ...], FinishReason]:
        self._close()
        reason = _FINISH_REASONS.get(self.finish_reason, self.finish_reason or "error")
        # Tool calls end with STOP as well.
        if reason == "stop" and any(isinstance(part, ToolCall) for part in self._parts):
            reason = "tool_call"
        return tuple(self._parts), reason
