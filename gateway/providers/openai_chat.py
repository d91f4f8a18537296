"""OpenAI's Chat Completions (`POST …/chat/completions`), also as Azure and compatible servers speak it. No I/O.

Source: types of openai 3.54 (`types/chat/completion_create_params.py`), platform.openai.com/docs/api-reference/chat.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import RequestReading
from gateway.providers import settings
from gateway.providers.lenient import text_or_none
from gateway.providers.openai_answer import OpenAIChatAnswer
from gateway.providers.openai_deployment import model_of
from gateway.providers.openai_message import read_message
from gateway.providers.openai_refusal import openai_error, openai_error_event
from gateway.providers.reader import BodyReader
from gateway.providers.request import NO_RAW, add_tools, add_unread, entries, kind_of, unreadable_request, with_repair

_METADATA_HINTS = ("session_id", "conversation_id", "thread_id")
_OUTPUT_TYPES = {"text": "text", "json_object": "json", "json_schema": "json"}


class _Body(msgspec.Struct):
    """Only what is asked for; nested values stay raw until someone needs them."""

    messages: list[msgspec.Raw]
    model: Any = None
    stream: Any = None
    stream_options: Any = None
    """How it is streamed: nothing a model reads."""
    tools: msgspec.Raw = NO_RAW
    functions: msgspec.Raw = NO_RAW
    response_format: msgspec.Raw = NO_RAW
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    seed: Any = None
    random_seed: Any = None
    stop: Any = None
    n: Any = None
    reasoning_effort: Any = None
    reasoning: Any = None
    service_tier: Any = None
    user: Any = None
    safety_identifier: Any = None
    metadata: Any = None
    session_id: Any = None
    conversation_id: Any = None
    thread_id: Any = None
    prompt_cache_key: Any = None
    litellm_session_id: Any = None
    chat_id: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = frozenset(_Body.__struct_fields__)


class OpenAIChat:
    """Implements `Provider`."""

    name = "openai_chat"
    operation = "chat"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/chat/completions")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        if decoded is None:
            return unreadable_request(body)
        reading = RequestReading(model=model_of(decoded.model, target), reader=read_message)
        large: tuple[tuple[str, Sequence[bytes | msgspec.Raw]], ...]
        large = (("messages", entries(reading, reading.messages, decoded.messages, read_message, known)),)
        if decoded.stream is True:
            reading.stream = True
        if decoded.tools is not NO_RAW:
            add_tools(reading, decoded.tools, known)
            large = (("tools", (decoded.tools,)), *large)
        if decoded.functions is not NO_RAW:
            add_tools(reading, decoded.functions, known)
        add_unread(reading, body, _NAMES, large, known)
        _add_settings(reading.attributes, decoded)
        if decoded.user is not None or decoded.safety_identifier is not None:
            reading.user = text_or_none(decoded.user) or text_or_none(decoded.safety_identifier)
        _add_hints(reading.session_hints, decoded)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(OpenAIChatAnswer(status), status, content_type)

    def refusal(self, refusal: Refusal) -> bytes:
        return openai_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        """The official SDK raises at the error; clients that wait for the end of the stream find it too."""
        return openai_error_event(refusal) + b"data: [DONE]\n\n"


def _add_settings(attributes: settings.Attributes, body: _Body) -> None:
    if body.temperature is not None:
        settings.add_double(attributes, settings.TEMPERATURE, body.temperature)
    if body.top_p is not None:
        settings.add_double(attributes, settings.TOP_P, body.top_p)
    if body.top_k is not None:
        settings.add_int(attributes, settings.TOP_K, body.top_k)
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    if limit is not None:
        settings.add_int(attributes, settings.MAX_TOKENS, limit)
    if body.frequency_penalty is not None:
        settings.add_double(attributes, settings.FREQUENCY_PENALTY, body.frequency_penalty)
    if body.presence_penalty is not None:
        settings.add_double(attributes, settings.PRESENCE_PENALTY, body.presence_penalty)
    if body.seed is not None:
        settings.add_int(attributes, settings.SEED, body.seed)
    elif body.random_seed is not None:  # Mistral's name
        settings.add_int(attributes, settings.SEED, body.random_seed)
    if body.stop is not None:
        settings.add_texts(attributes, settings.STOP_SEQUENCES, body.stop)
    if body.n is not None and body.n != 1:
        settings.add_int(attributes, settings.CHOICE_COUNT, body.n)
    if body.reasoning_effort is not None or body.reasoning is not None:
        reasoning = body.reasoning.get("effort") if isinstance(body.reasoning, dict) else None  # OpenRouter's form
        settings.add_text(attributes, settings.REASONING_LEVEL, body.reasoning_effort or reasoning)
    if body.response_format is not NO_RAW:
        kind = kind_of(body.response_format)
        settings.add_text(attributes, settings.OUTPUT_TYPE, _OUTPUT_TYPES.get(kind))
    if body.service_tier is not None and body.service_tier != "auto":
        settings.add_text(attributes, settings.REQUEST_TIER, body.service_tier)


def _add_hints(hints: dict[str, str], body: _Body) -> None:
    if isinstance(body.metadata, dict):
        for field in _METADATA_HINTS:
            settings.add_hint(hints, "metadata." + field, body.metadata.get(field))
    if body.session_id is not None:
        settings.add_hint(hints, "session_id", body.session_id)
    if body.conversation_id is not None:
        settings.add_hint(hints, "conversation_id", body.conversation_id)
    if body.thread_id is not None:
        settings.add_hint(hints, "thread_id", body.thread_id)
    if body.prompt_cache_key is not None:
        settings.add_hint(hints, "prompt_cache_key", body.prompt_cache_key)
    if body.litellm_session_id is not None:
        settings.add_hint(hints, "litellm_session_id", body.litellm_session_id)
    if body.chat_id is not None:
        settings.add_hint(hints, "chat_id", body.chat_id)
