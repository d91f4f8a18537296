"""Bedrock's Converse API (`POST /model/{id}/converse` and `/converse-stream`). No I/O.

Source: the `bedrock-runtime` model of botocore 1.44.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import Message, RequestReading, Text
from gateway.providers import settings
from gateway.providers.bedrock_answer import BedrockConverseAnswer
from gateway.providers.bedrock_blocks import read_message, read_system
from gateway.providers.bedrock_path import add_path, asked_at
from gateway.providers.bedrock_refusal import aws_error, aws_exception_frame
from gateway.providers.known import entry_of
from gateway.providers.lenient import raw_text
from gateway.providers.reader import BodyReader
from gateway.providers.request import (
    NO_RAW,
    add_tools,
    add_unread,
    definition,
    entries,
    is_said,
    raws_of,
    unreadable_request,
    with_repair,
)
from gateway.providers.unread import shown_whole


class _Body(msgspec.Struct, rename="camel"):
    """Only what is asked for; nested values stay raw until someone needs them."""

    messages: list[msgspec.Raw] | None = None
    system: msgspec.Raw = NO_RAW
    tool_config: msgspec.Raw = NO_RAW
    inference_config: Any = None
    additional_model_request_fields: Any = None
    output_config: Any = None
    guardrail_config: Any = None
    prompt_variables: msgspec.Raw = NO_RAW


class _Variable(msgspec.Struct):
    text: str


class _Tools(msgspec.Struct):
    tools: msgspec.Raw = NO_RAW


class _Schema(msgspec.Struct):
    json: msgspec.Raw = NO_RAW


class _Spec(msgspec.Struct, rename="camel"):
    name: Any = None
    description: Any = None
    input_schema: _Schema | None = None


class _Tool(msgspec.Struct, rename="camel"):
    tool_spec: _Spec | None = None
    system_tool: _Spec | None = None
    cache_point: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = frozenset(_Body.__struct_encode_fields__)
_TOOLS_NAMES = frozenset(_Tools.__struct_fields__)
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_variable = msgspec.json.Decoder(_Variable).decode
_decode_tools = msgspec.json.Decoder(_Tools).decode
_decode_tool = msgspec.json.Decoder(_Tool).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_ONLY_A_MARK = entry_of(Message("system", ())).json
"""What a block of system instructions says that only marks what to cache."""
_to_json = msgspec.json.Encoder().encode


class BedrockConverse:
    """Implements `Provider`."""

    name = "bedrock_converse"
    operation = "chat"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and asked_at(path, "converse", "converse-stream")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        reading = conversation(body, known)
        reading.reader = read_message
        add_path(reading, target)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(BedrockConverseAnswer(status), status, content_type)

    def refusal(self, refusal: Refusal) -> bytes:
        return aws_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        return aws_exception_frame(refusal)


def conversation(body: bytes, known: KnownMessages) -> RequestReading:
    """A body of Converse; Nova's native bodies are the same."""
    decoded = with_repair(_decode, body)
    if decoded is None or not (decoded.messages is not None or is_said(decoded.prompt_variables)):
        return unreadable_request(body)
    reading = RequestReading()
    messages = decoded.messages or []
    entries(reading, reading.messages, messages, read_message, known)
    if is_said(decoded.prompt_variables):
        entries(reading, reading.messages, [decoded.prompt_variables], _read_variables, known)
    if is_said(decoded.system):
        entries(reading, reading.system, raws_of(decoded.system), read_system, known)
        reading.system = [entry for entry in reading.system if entry.json != _ONLY_A_MARK or entry.texts]
    if is_said(decoded.tool_config):
        _add_tools(reading, decoded.tool_config, known)
    large = (("toolConfig", (decoded.tool_config,)), ("system", (decoded.system,)), ("messages", messages))
    add_unread(reading, body, _NAMES, large, known)
    _add_settings(reading.attributes, decoded)
    return reading


@shown_whole
def _read_variables(raw: bytes) -> Message:
    """A managed prompt has the messages; what is filled in is all that the caller says."""
    said = [_variable(bytes(variable)) for variable in _decode_fields(raw).values()]
    return Message("user", tuple(Text(text) for text in said if text))


def _variable(raw: bytes) -> str:
    variable = with_repair(_decode_variable, raw)
    return raw_text(raw) if variable is None else variable.text


def _add_tools(reading: RequestReading, config: msgspec.Raw, known: KnownMessages) -> None:
    """The list in a `toolConfig`; one of another shape is shown whole."""
    decoded = with_repair(_decode_tools, bytes(config))
    if decoded is None:
        add_tools(reading, config, known, _definitions)
        return
    if decoded.tools is not NO_RAW:
        add_tools(reading, decoded.tools, known, _definitions)
    add_unread(reading, bytes(config), _TOOLS_NAMES, [("tools", (decoded.tools,))], known)


def _definitions(raw: bytes) -> bytes:
    """`gen_ai.tool.definitions`; caching marks are no tools."""
    return _to_json([tool for each in _decode_raws(raw) if (tool := _definition(bytes(each))) is not None])


def _definition(raw: bytes) -> dict[str, Any] | None:
    try:
        tool = _decode_tool(raw)
    except msgspec.ValidationError:
        return {"type": "unknown"}
    spec = tool.tool_spec or tool.system_tool
    if spec is None:
        return None if tool.cache_point is not None else {"type": "unknown"}
    schema = NO_RAW if spec.input_schema is None else spec.input_schema.json
    kind = "function" if tool.tool_spec is not None else "system_tool"
    return definition(kind, spec.name, spec.description, schema)


def _add_settings(attributes: settings.Attributes, body: _Body) -> None:
    config = body.inference_config if isinstance(body.inference_config, dict) else {}
    more = body.additional_model_request_fields if isinstance(body.additional_model_request_fields, dict) else {}
    # Older native bodies of Nova say `max_new_tokens`.
    settings.add_int(attributes, settings.MAX_TOKENS, config.get("maxTokens", config.get("max_new_tokens")))
    settings.add_double(attributes, settings.TEMPERATURE, config.get("temperature"))
    settings.add_double(attributes, settings.TOP_P, config.get("topP", config.get("top_p")))
    # Not among Converse's own settings: Anthropic's and Nova's names for it.
    settings.add_int(attributes, settings.TOP_K, more.get("top_k", config.get("topK", config.get("top_k"))))
    settings.add_texts(attributes, settings.STOP_SEQUENCES, config.get("stopSequences"))
    _add_output(attributes, body.output_config)
    guardrail = body.guardrail_config if isinstance(body.guardrail_config, dict) else {}
    settings.add_text(attributes, settings.GUARDRAIL_ID, guardrail.get("guardrailIdentifier"))


def _add_output(attributes: settings.Attributes, config: Any) -> None:
    if isinstance(config, dict):
        settings.add_text(attributes, settings.REASONING_LEVEL, config.get("effort"))
        wanted = config.get("textFormat")
        if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
            settings.add_text(attributes, settings.OUTPUT_TYPE, "json")
