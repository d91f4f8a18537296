"""Anthropic's Messages API (`POST …/messages`), not its token counting or batches. No I/O.

Source: types of anthropic 2.12 (`types/message_create_params.py`; threads, whose history the server holds:
`types/beta/beta_message_thread_param.py`), platform.claude.com/docs/en/api/messages.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import Entry, RequestReading
from gateway.providers import settings
from gateway.providers.anthropic_answer import AnthropicMessagesAnswer
from gateway.providers.anthropic_blocks import read_message, read_system
from gateway.providers.lenient import text_or_none
from gateway.providers.reader import BodyReader
from gateway.providers.request import NO_RAW, add_tools, add_unread, entries, unreadable_request, with_repair

_METADATA_HINTS = ("user_id", "session_id", "conversation_id", "thread_id")
_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class _Body(msgspec.Struct):
    """Only what is asked for; nested values stay raw until someone needs them."""

    messages: list[msgspec.Raw]
    model: Any = None
    system: msgspec.Raw = NO_RAW
    tools: msgspec.Raw = NO_RAW
    stream: Any = None
    max_tokens: Any = None
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    stop_sequences: Any = None
    output_config: Any = None
    output_format: Any = None
    metadata: Any = None
    thread: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = frozenset(_Body.__struct_fields__)
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


class AnthropicMessages:
    """Implements `Provider`."""

    name = "anthropic_messages"
    operation = "chat"

    def matches(self, method: str, path: str) -> bool:
        # Not any path that ends so: OpenAI's Assistants had /v1/threads/{id}/messages.
        return method == "POST" and (path.endswith("/v1/messages") or path == "/messages")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        if decoded is None:
            return unreadable_request(body)
        reading = RequestReading(reader=read_message)
        reading.model = decoded.model if isinstance(decoded.model, str) else ""
        reading.stream = decoded.stream is True
        messages = entries(reading, reading.messages, decoded.messages, read_message, known)
        if decoded.system is not NO_RAW:
            _add_system(reading, bytes(decoded.system), known)
        if decoded.tools is not NO_RAW:
            add_tools(reading, decoded.tools, known)
        large = (("tools", (decoded.tools,)), ("system", (decoded.system,)), ("messages", messages))
        add_unread(reading, body, _NAMES, large, known)
        _add_settings(reading.attributes, decoded)
        settings.add_compacted(reading.attributes, reading.messages)
        if isinstance(decoded.metadata, dict):
            for field in _METADATA_HINTS:
                settings.add_hint(reading.session_hints, "metadata." + field, decoded.metadata.get(field))
            reading.user = _user(decoded.metadata.get("user_id"))
        if isinstance(decoded.thread, dict):
            continued = decoded.thread.get("previous_message_id")
            settings.add_text(reading.attributes, settings.PREVIOUS_RESPONSE, continued)
            settings.add_hint(reading.session_hints, "thread.previous_message_id", continued)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(AnthropicMessagesAnswer(status, settings.says_compacted(request)), status, content_type)

    def refusal(self, refusal: Refusal) -> bytes:
        kind = _ERROR_TYPES.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
        return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": refusal.message}})

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        return b"event: error\ndata: " + self.refusal(refusal) + b"\n\n"


def _add_system(reading: RequestReading, raw: bytes, known: KnownMessages) -> None:
    """One entry a block: Claude Code's first block changes with each request, the long ones after it do not."""
    if raw == b"null":
        return
    blocks = (with_repair(_decode_raws, raw) if raw.startswith(b"[") else None) or [msgspec.Raw(raw)]
    system: list[Entry] = []
    entries(reading, system, blocks, read_system, known)
    reading.system = system


def _add_settings(attributes: settings.Attributes, body: _Body) -> None:
    settings.add_int(attributes, settings.MAX_TOKENS, body.max_tokens)
    if body.temperature is not None:
        settings.add_double(attributes, settings.TEMPERATURE, body.temperature)
    if body.top_p is not None:
        settings.add_double(attributes, settings.TOP_P, body.top_p)
    if body.top_k is not None:
        settings.add_int(attributes, settings.TOP_K, body.top_k)
    if body.stop_sequences is not None:
        settings.add_texts(attributes, settings.STOP_SEQUENCES, body.stop_sequences)
    config = body.output_config if isinstance(body.output_config, dict) else {}
    settings.add_text(attributes, settings.REASONING_LEVEL, config.get("effort"))
    output_format = config.get("format") or body.output_format
    if isinstance(output_format, dict) and output_format.get("type") == "json_schema":
        settings.add_text(attributes, settings.OUTPUT_TYPE, "json")


def _user(user_id: object) -> str | None:
    """A user, unless it is what Claude Code packs there: `user_…_account_…_session_…`, or JSON with a session."""
    text = text_or_none(user_id)
    if text is None or "_session_" in text or text.lstrip()[:1] in ("{", "["):
        return None
    return text
