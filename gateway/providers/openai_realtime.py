"""OpenAI's Realtime: reads the requests and responses that `openai_realtime_socket` makes of a connection. No I/O.

Source: types of openai 3.54 (`types/realtime`).
"""

from typing import Any
from urllib.parse import parse_qs

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import Message, RequestReading, Text
from gateway.providers import settings
from gateway.providers.openai_realtime_answer import OpenAIRealtimeAnswer
from gateway.providers.openai_realtime_item import read_item
from gateway.providers.openai_refusal import openai_error, openai_error_event
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


class _Settings(msgspec.Struct):
    """The session's, and what a response says of its own instead."""

    model: Any = None
    instructions: msgspec.Raw = NO_RAW
    prompt: msgspec.Raw = NO_RAW
    tools: msgspec.Raw = NO_RAW
    input: msgspec.Raw = NO_RAW
    temperature: Any = None
    max_output_tokens: Any = None
    max_response_output_tokens: Any = None
    output_modalities: Any = None
    modalities: Any = None
    reasoning: Any = None


class _Body(msgspec.Struct):
    session: msgspec.Raw
    response: msgspec.Raw
    items: list[msgspec.Raw]
    cut: bool = False


_decode = msgspec.json.Decoder(_Body).decode
_decode_settings = msgspec.json.Decoder(_Settings).decode
_NAMES = frozenset(_Body.__struct_fields__)
_SETTINGS_NAMES = frozenset(_Settings.__struct_fields__)
_INSTEAD = ("instructions", "prompt", "tools")
"""What a response may say of its own in place of the session's."""
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class OpenAIRealtime:
    """Implements `Provider`."""

    name = "openai_realtime"
    operation = "chat"

    def matches(self, method: str, path: str) -> bool:
        return False  # spoken over a WebSocket only

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        decoded = with_repair(_decode, body)
        session = with_repair(_decode_settings, bytes(decoded.session)) if decoded is not None else None
        response = with_repair(_decode_settings, bytes(decoded.response)) if decoded is not None else None
        if decoded is None or session is None or response is None:
            return unreadable_request(body)
        reading = RequestReading(model=_model(response, session, target), stream=True)
        items = decoded.items
        if is_said(response.input):  # a response beside the conversation
            items = with_repair(_decode_raws, bytes(response.input)) or [response.input]
        entries(reading, reading.messages, items, read_item, known)
        for said in (response.instructions, session.instructions):
            if said is not NO_RAW and bytes(said) != b"null":
                entries(reading, reading.system, [said], _read_instructions, known)
                break
        for prompt in (response.prompt, session.prompt):
            if prompt is not NO_RAW and bytes(prompt) != b"null":
                add_context(reading, prompt, known)
                break
        for tools in (response.tools, session.tools):
            if tools is not NO_RAW:
                if bytes(tools) != b"[]":  # which every session says that has none
                    add_tools(reading, tools, known)
                break
        add_unread(reading, body, _NAMES, [], known)
        add_unread(reading, bytes(decoded.response), _SETTINGS_NAMES, [], known)
        overruled = [name for name in _INSTEAD if getattr(response, name) is not NO_RAW]
        add_unread(reading, bytes(decoded.session), _SETTINGS_NAMES.difference(overruled, ["input"]), [], known)
        _add_settings(reading.attributes, session, response)
        if decoded.cut and reading.state == "full":
            reading.state = "truncated"
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(OpenAIRealtimeAnswer(), status, content_type)

    def refusal(self, refusal: Refusal) -> bytes:
        return openai_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        return openai_error_event(refusal)


def _model(response: _Settings, session: _Settings, target: str) -> str:
    """As the session says; before it has said so, as the address does (Azure: the deployment)."""
    query = parse_qs(target.partition("?")[2])
    named = [response.model, session.model, *query.get("model", []), *query.get("deployment", [])]
    return next((name for name in named if isinstance(name, str) and name), "")


@shown_whole
def _read_instructions(raw: bytes) -> Message:
    return Message("system", (Text(_decode_text(raw)),))


def _add_settings(attributes: settings.Attributes, session: _Settings, response: _Settings) -> None:
    settings.add_double(attributes, settings.TEMPERATURE, _first(response.temperature, session.temperature))
    limits = [
        limit for each in (response, session) for limit in (each.max_output_tokens, each.max_response_output_tokens)
    ]
    settings.add_int(attributes, settings.MAX_TOKENS, _first(*limits))
    modalities = [said for each in (response, session) for said in (each.output_modalities, each.modalities)]
    said = _first(*modalities)
    if isinstance(said, list) and said:
        settings.add_text(attributes, settings.OUTPUT_TYPE, "speech" if "audio" in said else "text")
    reasoning = _first(response.reasoning, session.reasoning)
    if isinstance(reasoning, dict):
        settings.add_text(attributes, settings.REASONING_LEVEL, reasoning.get("effort"))


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
