"""Bedrock's InvokeModel (`POST /model/{id}/invoke`, `/invoke-with-response-stream`): models' own bodies. No I/O.

Whose body it is, the body itself says; a model's id may be a profile's ARN that tells nothing.
Source: the `bedrock-runtime` model of botocore 1.44; the bodies: Bedrock's "Inference request parameters".
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import Message, RequestReading, Text
from gateway.providers import settings
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.bedrock_converse import conversation
from gateway.providers.bedrock_native import BedrockInvokeAnswer
from gateway.providers.bedrock_path import add_path, asked_at
from gateway.providers.bedrock_refusal import aws_error, aws_exception_frame
from gateway.providers.generic import Generic
from gateway.providers.known import entry_of
from gateway.providers.openai_chat import OpenAIChat
from gateway.providers.reader import BodyReader
from gateway.providers.request import NO_RAW, add_unread, with_repair

_NAMES = {
    "schema_version": "schemaVersion",
    "inference_config": "inferenceConfig",
    "tool_config": "toolConfig",
    "input_text": "inputText",
    "text_generation_config": "textGenerationConfig",
}
"""Amazon's own models spell them so, all others with underscores."""


class _Head(msgspec.Struct, rename=_NAMES):
    messages: msgspec.Raw = NO_RAW
    anthropic_version: msgspec.Raw = NO_RAW
    schema_version: msgspec.Raw = NO_RAW
    inference_config: msgspec.Raw = NO_RAW
    tool_config: msgspec.Raw = NO_RAW
    prompt: Any = None
    input_text: Any = None
    text_generation_config: Any = None
    max_gen_len: Any = None
    max_tokens: Any = None
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    stop: Any = None


class _Message(msgspec.Struct):
    content: Any = None


_TITANS_NAMES = frozenset({"inputText", "textGenerationConfig"})
_OTHERS_NAMES = frozenset({"prompt", "max_gen_len", "max_tokens", "temperature", "top_p", "top_k", "stop"})
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_ANTHROPIC = AnthropicMessages()
_OPENAI = OpenAIChat()
_GENERIC = Generic()


class BedrockInvoke:
    """Implements `Provider`."""

    name = "bedrock_invoke"
    operation = "chat"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and asked_at(path, "invoke", "invoke-with-response-stream")

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        reading = native_request(body, known)
        add_path(reading, target)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(BedrockInvokeAnswer(status), status, content_type)

    def refusal(self, refusal: Refusal) -> bytes:
        return aws_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        return aws_exception_frame(refusal)


class BedrockEmbeddings(BedrockInvoke):
    """The same operation, told apart by the model's name: what comes back are vectors."""

    name = "bedrock_embeddings"
    operation = "embeddings"

    def matches(self, method: str, path: str) -> bool:
        return super().matches(method, path) and "embed" in path

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return BodyReader(BedrockInvokeAnswer(status), status, content_type, raw=False)


def native_request(body: bytes, known: KnownMessages) -> RequestReading:
    """Read by the API whose body it is; as raw text where it is nobody's that is known."""
    head = with_repair(_decode_head, body)
    if head is None:
        return _GENERIC.read_request(body, known)
    if head.messages is not NO_RAW:
        if _is_converse(head):
            return conversation(body, known)
        if head.anthropic_version is not NO_RAW:
            return _ANTHROPIC.read_request(body, known)
        reading = _OPENAI.read_request(body, known)
        reading.reader = None  # whose they are may be said by what is behind them
        return reading
    titan = isinstance(head.input_text, str)
    said = head.input_text if titan else head.prompt
    if not isinstance(said, str):
        return _GENERIC.read_request(body, known)
    reading = _completion(head, said)
    add_unread(reading, body, _TITANS_NAMES if titan else _OTHERS_NAMES, [], known)
    return reading


def _is_converse(head: _Head) -> bool:
    """Nova's: Converse's fields beside the messages, or in them blocks without a `type`."""
    if head.anthropic_version is not NO_RAW:
        return False
    if any(raw is not NO_RAW for raw in (head.schema_version, head.inference_config, head.tool_config)):
        return True
    messages = with_repair(_decode_messages, bytes(head.messages)) or []
    blocks = [block for message in messages if isinstance(message.content, list) for block in message.content]
    return bool(blocks) and not any(isinstance(block, dict) and "type" in block for block in blocks)


def _completion(head: _Head, said: str) -> RequestReading:
    """Titan says `inputText`, Llama and Mistral `prompt`."""
    reading = RequestReading()
    if said:
        reading.messages.append(entry_of(Message("user", (Text(said),))))
    titan = head.text_generation_config if isinstance(head.text_generation_config, dict) else {}
    longest = head.max_gen_len if head.max_gen_len is not None else head.max_tokens
    settings.add_int(reading.attributes, settings.MAX_TOKENS, titan.get("maxTokenCount", longest))
    settings.add_double(reading.attributes, settings.TEMPERATURE, titan.get("temperature", head.temperature))
    settings.add_double(reading.attributes, settings.TOP_P, titan.get("topP", head.top_p))
    settings.add_int(reading.attributes, settings.TOP_K, head.top_k)
    settings.add_texts(reading.attributes, settings.STOP_SEQUENCES, titan.get("stopSequences", head.stop))
    return reading
