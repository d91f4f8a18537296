"""Google's generateContent and streamGenerateContent, by Gemini's API or Vertex AI. No I/O.

The model is named in the path only. A stream is SSE with `alt=sse`, else one JSON array in pieces.
Source: google-genai 3.6 (`types.GenerateContentConfig`, `models.py`), ai.google.dev/api/generate-content.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import RequestReading
from gateway.providers import settings
from gateway.providers.gemini_answer import GeminiAnswer
from gateway.providers.gemini_content import read_content, read_system
from gateway.providers.google_names import call_in, camel_keys, camel_keys_once, google_error, method_of
from gateway.providers.json_array import JsonArrayDecoder
from gateway.providers.lenient import text_or_none
from gateway.providers.reader import BodyReader
from gateway.providers.request import (
    NO_RAW,
    add_tools,
    add_unread,
    definition,
    entries,
    unreadable_request,
    with_repair,
)

_STREAM = "streamGenerateContent"
_METHODS = frozenset({"generateContent", _STREAM})
_OUTPUT_TYPES = {"application/json": "json", "text/plain": "text", "text/x.enum": "json"}
_NAMES = frozenset(
    {"contents", "tools", "labels", "systemInstruction", "system_instruction", "generationConfig", "generation_config"}
)
_MODALITIES = {"IMAGE": "image", "AUDIO": "speech"}

Fields = dict[str, msgspec.Raw]
_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_to_json = msgspec.json.Encoder().encode


class GeminiGenerate:
    """Implements `Provider`."""

    name = "gemini_generate_content"
    operation = "generate_content"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and method_of(path) in _METHODS

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        fields = with_repair(_fields_with_contents, body)
        reading = RequestReading() if fields is not None else unreadable_request(body)
        model, method = call_in(target)
        reading.model = model
        reading.stream = method == _STREAM
        if fields is not None:
            read_conversation(reading, body, fields, known)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        # A whole answer and an array have the same content type: the decoder hands on what is no array as it is.
        decoder = JsonArrayDecoder() if _is_json(content_type) else None
        return BodyReader(GeminiAnswer(status), status, content_type, decoder)

    def refusal(self, refusal: Refusal) -> bytes:
        return google_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        """An array is ended by the error, so that what the client has is JSON."""
        error = google_error(refusal)
        if _is_json(content_type):
            return (b"[" if first else b",\n") + error + b"]"
        return b"data: " + error + b"\n\n"


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def read_conversation(reading: RequestReading, body: bytes, fields: Fields, known: KnownMessages) -> None:
    """Contents, instructions, tools and settings of a request, and what else its body says.

    `fields`: of the body, their names in camelCase.
    """
    entries(reading, reading.messages, content_list(fields["contents"]), read_content, known)
    if (system := fields.get("systemInstruction", NO_RAW)) is not NO_RAW and bytes(system) != b"null":
        entries(reading, reading.system, [system], read_system, known)
    if (tools := fields.get("tools", NO_RAW)) is not NO_RAW:
        add_tools(reading, tools, known, _tools)
    large = [(name, (fields.get(name, NO_RAW),)) for name in ("tools", "systemInstruction", "contents")]
    add_unread(reading, body, _NAMES, large, known)
    if (config := fields.get("generationConfig", NO_RAW)) is not NO_RAW:
        said = with_repair(_decode_any, bytes(config))
        if isinstance(said, dict):
            _add_settings(reading.attributes, camel_keys(said))
    if (labels := fields.get("labels", NO_RAW)) is not NO_RAW:
        _add_hints(reading.session_hints, with_repair(_decode_any, bytes(labels)))


def content_list(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The contents; one that stands alone is a list of one. Raises ValueError for what is neither."""
    data = bytes(raw)
    if data[:1] == b"{":
        return [raw]
    return _decode_raws(data)


def _fields_with_contents(body: bytes) -> Fields:
    fields = camel_keys_once(_decode_fields(body))
    if "contents" not in fields:
        raise ValueError("no contents")
    content_list(fields["contents"])
    return fields


def _add_settings(attributes: settings.Attributes, config: dict[str, Any]) -> None:
    settings.add_double(attributes, settings.TEMPERATURE, config.get("temperature"))
    settings.add_double(attributes, settings.TOP_P, config.get("topP"))
    settings.add_int(attributes, settings.TOP_K, config.get("topK"))
    settings.add_int(attributes, settings.MAX_TOKENS, config.get("maxOutputTokens"))
    settings.add_double(attributes, settings.FREQUENCY_PENALTY, config.get("frequencyPenalty"))
    settings.add_double(attributes, settings.PRESENCE_PENALTY, config.get("presencePenalty"))
    settings.add_int(attributes, settings.SEED, config.get("seed"))
    settings.add_texts(attributes, settings.STOP_SEQUENCES, config.get("stopSequences"))
    if config.get("candidateCount") != 1:
        settings.add_int(attributes, settings.CHOICE_COUNT, config.get("candidateCount"))
    if isinstance(thinking := config.get("thinkingConfig"), dict):
        level = text_or_none(camel_keys(thinking).get("thinkingLevel"))
        settings.add_text(attributes, settings.REASONING_LEVEL, level and level.lower())
    settings.add_text(attributes, settings.OUTPUT_TYPE, _output_type(config))


def _output_type(config: dict[str, Any]) -> str | None:
    mime_type, modalities = config.get("responseMimeType"), config.get("responseModalities")
    if isinstance(mime_type, str) and mime_type in _OUTPUT_TYPES:
        return _OUTPUT_TYPES[mime_type]
    found = [_MODALITIES.get(str(modality)) for modality in modalities] if isinstance(modalities, list) else []
    return next(filter(None, found), None)


def _add_hints(hints: dict[str, str], labels: Any) -> None:
    if isinstance(labels, dict):
        for field in ("session_id", "conversation_id", "thread_id"):
            settings.add_hint(hints, "labels." + field, labels.get(field))


def _tools(raw: bytes) -> bytes:
    """Each function of each tool; of Google's own tools only their name."""
    found: list[dict[str, Any]] = []
    for tool in _decode_raws(raw):
        try:
            fields = camel_keys(_decode_fields(tool))
        except msgspec.ValidationError:
            found.append({"type": "unknown"})
            continue
        for kind, held in fields.items():
            if kind == "functionDeclarations":
                found += _functions(held)
            else:
                found.append({"type": kind})
    return _to_json(found)


def _functions(raw: msgspec.Raw) -> list[dict[str, Any]]:
    try:
        functions = [camel_keys(_decode_fields(function)) for function in _decode_raws(raw)]
    except msgspec.ValidationError:
        return [{"type": "unknown"}]
    return [_function(function) for function in functions]


def _function(fields: Fields) -> dict[str, Any]:
    schema = fields.get("parametersJsonSchema", fields.get("parameters", NO_RAW))
    name, description = (_decode_any(fields[field]) if field in fields else None for field in ("name", "description"))
    return definition("function", name, description, schema)
