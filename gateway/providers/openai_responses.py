"""OpenAI's Responses (`POST …/responses`, `…/responses/compact`), also as Azure and compatible servers speak it, and
its polls. No I/O.

Source: types of openai 3.54 (`types/responses/response_create_params.py`), OpenAI's API reference.
"""

import re
from typing import Any
from urllib.parse import parse_qs

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import Message, RequestReading
from gateway.providers import settings
from gateway.providers.histories import MAX_ENTRIES
from gateway.providers.lenient import text_or_none
from gateway.providers.openai_deployment import model_of
from gateway.providers.openai_item import Head, read_instructions, read_text, read_turn
from gateway.providers.openai_refusal import openai_error, responses_error_event
from gateway.providers.openai_responses_answer import OpenAIResponsesAnswer
from gateway.providers.parts import unknown
from gateway.providers.reader import BodyReader
from gateway.providers.request import (
    NO_RAW,
    add_context,
    add_tools,
    add_unread,
    entries,
    is_said,
    unreadable_request,
    with_repair,
)
from gateway.providers.unread import shown_whole

_ONE_RESPONSE = re.compile(r".*/responses/[^/]+", re.DOTALL)
"""And nothing below it, such as its input items."""
_METADATA_HINTS = ("session_id", "conversation_id", "thread_id")
_CLIENT_HINTS = ("session_id", "thread_id")
_OUTPUT_TYPES = {"text": "text", "json_object": "json", "json_schema": "json"}


class _Body(msgspec.Struct):
    """Only what is asked for; nested values stay raw until someone needs them."""

    input: msgspec.Raw = NO_RAW
    instructions: msgspec.Raw = NO_RAW
    prompt: msgspec.Raw = NO_RAW
    tools: msgspec.Raw = NO_RAW
    model: Any = None
    stream: Any = None
    temperature: Any = None
    top_p: Any = None
    max_output_tokens: Any = None
    reasoning: Any = None
    text: Any = None
    service_tier: Any = None
    user: Any = None
    safety_identifier: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    metadata: Any = None
    client_metadata: Any = None
    prompt_cache_key: Any = None
    generate: Any = None

    @property
    def asks(self) -> bool:
        """Whether this is a request at all: what a conversation already holds may be all that is asked."""
        told = self.input is not NO_RAW or self.prompt is not NO_RAW or self.instructions is not NO_RAW
        return told or self.previous_response_id is not None or self.conversation is not None


class _Prompt(msgspec.Struct):
    """A template that is kept at OpenAI, and what fills it."""

    id: Any = None
    version: Any = None
    variables: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = frozenset(_Body.__struct_fields__)
_decode_prompt = msgspec.json.Decoder(_Prompt).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_heads = msgspec.json.Decoder(list[Head]).decode
_decode_head = msgspec.json.Decoder(Head).decode


class OpenAIResponses:
    """Implements `Provider`."""

    name = "openai_responses"
    operation = "chat"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith(("/responses", "/responses/compact"))

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        if decoded is None or not decoded.asks:
            return unreadable_request(body)
        reading = RequestReading(model=model_of(decoded.model, target), stream=decoded.stream is True)
        if is_said(decoded.prompt):
            _add_prompt(reading, bytes(decoded.prompt), known)
        if is_said(decoded.input):
            _add_input(reading, bytes(decoded.input), known)
        if is_said(decoded.instructions):
            entries(reading, reading.system, [decoded.instructions], read_instructions, known)
        if decoded.tools is not NO_RAW:
            add_tools(reading, decoded.tools, known)
        large = [(name, (getattr(decoded, name),)) for name in ("tools", "instructions", "input")]
        add_unread(reading, body, _NAMES, large, known)
        _add_settings(reading.attributes, decoded)
        settings.add_compacted(reading.attributes, reading.messages)
        reading.user = text_or_none(decoded.user) or text_or_none(decoded.safety_identifier)
        _add_hints(reading.session_hints, decoded)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        answer = OpenAIResponsesAnswer(status, compacted=settings.says_compacted(request))
        return BodyReader(answer, status, content_type)

    def refusal(self, refusal: Refusal) -> bytes:
        return openai_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        return responses_error_event(refusal)


class OpenAIResponsesPoll(OpenAIResponses):
    """`GET …/responses/{id}`: how far a response that is made in the background has come.

    Its operation is `fetch_response`, which has no usage by the convention: each poll would count the same tokens anew.
    """

    name = "openai_responses_poll"
    operation = "fetch_response"

    def matches(self, method: str, path: str) -> bool:
        return method == "GET" and _ONE_RESPONSE.fullmatch(path) is not None

    def read_target(self, target: str) -> RequestReading:
        """`?stream=true&starting_after=5` goes on with a stream that was left."""
        asked = parse_qs(target.partition("?")[2], errors="replace", max_num_fields=None)
        reading = RequestReading(stream=asked.get("stream", [""])[-1].lower() == "true")
        settings.add_text(reading.attributes, settings.STREAM_CURSOR, asked.get("starting_after", [""])[-1])
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(OpenAIResponsesAnswer(status, poll=True), status, content_type)


def _add_input(reading: RequestReading, raw: bytes, known: KnownMessages) -> None:
    """A string, or items; anything else is one item of an unknown kind."""
    if raw.startswith(b'"'):
        entries(reading, reading.messages, [msgspec.Raw(raw)], read_text, known)
        return
    items = with_repair(_decode_raws, raw) if raw.startswith(b"[") else None
    if items is None or len(items) > MAX_ENTRIES:
        entries(reading, reading.messages, items or [msgspec.Raw(raw)], read_turn, known)
        return
    entries(reading, reading.messages, _turns(raw, items), read_turn, known)


def _turns(raw: bytes, items: list[msgspec.Raw]) -> list[msgspec.Raw]:
    """Each item, but items of the model that stand beside each other as one list."""
    turns: list[msgspec.Raw] = []
    together: list[bytes] = []
    for item, head in zip(items, _heads(raw, items), strict=True):
        if head.of_the_model:
            together.append(bytes(item))
            continue
        if together:
            turns.append(_list_of(together))
            together = []
        turns.append(item)
    if together:
        turns.append(_list_of(together))
    return turns


def _list_of(items: list[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(items) + b"]")


def _heads(raw: bytes, items: list[msgspec.Raw]) -> list[Head]:
    try:
        return _decode_heads(raw)
    except (ValueError, RecursionError):  # one of them is no object: asked one by one
        return [with_repair(_decode_head, bytes(item)) or Head() for item in items]


def _add_prompt(reading: RequestReading, raw: bytes, known: KnownMessages) -> None:
    """A template's name and version are settings, what fills it is read by the model."""
    prompt = with_repair(_decode_prompt, raw)
    if prompt is None or prompt.variables is not None:
        entries(reading, reading.messages, [msgspec.Raw(raw)], _read_prompt, known)
    else:
        add_context(reading, msgspec.Raw(raw), known)
    if prompt is not None:
        settings.add_text(reading.attributes, settings.PROMPT_NAME, prompt.id)
        settings.add_text(reading.attributes, settings.PROMPT_VERSION, prompt.version)


@shown_whole
def _read_prompt(raw: bytes) -> Message:
    held = msgspec.json.decode(raw)
    variables = held.get("variables") if isinstance(held, dict) else held
    return Message("user", (unknown("prompt", variables),))


def _add_settings(attributes: settings.Attributes, body: _Body) -> None:
    if body.temperature is not None:
        settings.add_double(attributes, settings.TEMPERATURE, body.temperature)
    if body.top_p is not None:
        settings.add_double(attributes, settings.TOP_P, body.top_p)
    if body.max_output_tokens is not None:
        settings.add_int(attributes, settings.MAX_TOKENS, body.max_output_tokens)
    if isinstance(body.reasoning, dict):
        settings.add_text(attributes, settings.REASONING_LEVEL, body.reasoning.get("effort"))
    if isinstance(body.text, dict) and isinstance(form := body.text.get("format"), dict):
        kind = form.get("type")
        settings.add_text(attributes, settings.OUTPUT_TYPE, _OUTPUT_TYPES.get(kind) if isinstance(kind, str) else None)
    settings.add_text(attributes, settings.PREVIOUS_RESPONSE, body.previous_response_id)
    if body.service_tier is not None and body.service_tier != "auto":
        settings.add_text(attributes, settings.REQUEST_TIER, body.service_tier)
    if body.generate is False:
        attributes.append((settings.GENERATE, False))


def _add_hints(hints: dict[str, str], body: _Body) -> None:
    for name, held, fields in (
        ("metadata", body.metadata, _METADATA_HINTS),
        ("client_metadata", body.client_metadata, _CLIENT_HINTS),
    ):
        if isinstance(held, dict):
            for field in fields:
                settings.add_hint(hints, f"{name}.{field}", held.get(field))
    if isinstance(body.conversation, dict):
        settings.add_hint(hints, "conversation.id", body.conversation.get("id"))
    else:
        settings.add_hint(hints, "conversation", body.conversation)
    settings.add_hint(hints, "previous_response_id", body.previous_response_id)
    settings.add_hint(hints, "prompt_cache_key", body.prompt_cache_key)
