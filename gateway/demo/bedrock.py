"""Bedrock's runtime as the built-in model speaks it: Converse, and InvokeModel with Anthropic's native bodies. No I/O.

Shapes: the `bedrock-runtime` model of botocore 1.44. Model and streaming are in the path: a dialect a call.
"""

import re
from base64 import b64encode
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from gateway.demo.anthropic_messages import AnthropicMessages
from gateway.demo.conversation import Ask, Reply, Tool, Turn, pieces, prompt_tokens
from gateway.demo.dialect import BadRequestError, Dialect, Headers, Problem
from gateway.demo.eventstream import CONTENT_TYPE, event_frame, exception_frame

_PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream|invoke|invoke-with-response-stream)")
_TYPES = {
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_T = TypeVar("_T")
_to_json = msgspec.json.Encoder().encode
_ANTHROPIC = AnthropicMessages()


class _Result(msgspec.Struct):
    text: str = ""
    json: Any = None


class _ToolResult(msgspec.Struct, rename="camel"):
    content: list[_Result] = []


class _Block(msgspec.Struct, rename="camel"):
    text: str = ""
    tool_result: _ToolResult | None = None
    cache_point: Any = None


class _Message(msgspec.Struct):
    role: str
    content: list[_Block]


class _Schema(msgspec.Struct):
    json: dict[str, Any] = {}


class _Spec(msgspec.Struct, rename="camel"):
    name: str
    input_schema: _Schema = msgspec.field(default_factory=_Schema)


class _Tool(msgspec.Struct, rename="camel"):
    tool_spec: _Spec | None = None


class _Tools(msgspec.Struct, rename="camel"):
    tools: list[_Tool] = []
    tool_choice: dict[str, Any] = {}


class _Inference(msgspec.Struct, rename="camel"):
    max_tokens: int | None = None


class _Request(msgspec.Struct, rename="camel"):
    messages: list[_Message]
    system: list[_Block] = []
    tool_config: _Tools = msgspec.field(default_factory=_Tools)
    inference_config: _Inference = msgspec.field(default_factory=_Inference)


def bedrock_dialect(path: str) -> Dialect | None:
    """The dialect of this call, or None where the path is none of Bedrock's."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    model, stream = unquote(match[1]), match[2].endswith("stream")
    return _Converse(model, stream) if match[2].startswith("converse") else _Invoke(model, stream)


class BedrockRuntime:
    """What both have in common; the model and whether to stream come from the path."""

    stream_type = CONTENT_TYPE

    def __init__(self, model: str, stream: bool) -> None:
        self._model = model
        self._stream = stream

    def error(self, problem: Problem, seed: str) -> bytes:
        return _to_json({"message": problem.message})

    def error_event(self, problem: Problem, seed: str) -> bytes:
        return exception_frame("modelStreamErrorException", _to_json({"message": problem.message}))

    def headers(self, seed: str) -> Headers:
        return (("x-amzn-requestid", f"{seed[:8]}-{seed[8:12]}-4000-8000-{seed[12:24]}"),)

    def error_headers(self, problem: Problem) -> Headers:
        """AWS names an error here and not in the body."""
        default = "InternalServerException" if problem.status >= 500 else "ValidationException"
        return (("x-amzn-errortype", _TYPES.get(problem.status, default)),)


class _Converse(BedrockRuntime):
    def read(self, body: bytes, seed: str) -> Ask:
        request = _decoded(body, _Request)
        system = (Turn("system", _text(request.system)),) if request.system else ()
        specs = [tool.tool_spec for tool in request.tool_config.tools if tool.tool_spec is not None]
        return Ask(
            seed=seed,
            model=self._model,
            turns=system + tuple(_turn(message) for message in request.messages),
            tools=tuple(Tool(spec.name, spec.input_schema.json) for spec in specs),
            tool_required=not {"any", "tool"}.isdisjoint(request.tool_config.tool_choice),
            stream=self._stream,
            max_tokens=request.inference_config.max_tokens,
            caching=b'"cachePoint"' in body,
        )

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        answer: dict[str, Any] = {
            "metrics": {"latencyMs": 12},
            "output": {"message": {"content": _blocks(ask, reply), "role": "assistant"}},
            "stopReason": _stop_reason(reply),
        }
        return _to_json(answer | {"usage": _usage(ask, reply)} if usage else answer)

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        events = [_event("messageStart", role="assistant")]
        for index, block in enumerate(_blocks(ask, reply)):
            events += _block_events(index, block)
        metadata: dict[str, Any] = {"metrics": {"latencyMs": 12}}
        if usage:
            metadata["usage"] = _usage(ask, reply)
        return [*events, _event("messageStop", stopReason=_stop_reason(reply)), _event("metadata", **metadata)]


class _Invoke(BedrockRuntime):
    """Anthropic's own bodies, without model and stream; in a stream each event in a `chunk`."""

    def read(self, body: bytes, seed: str) -> Ask:
        native = _decoded(body, dict[str, Any])
        return _ANTHROPIC.read(_to_json(native | {"model": self._model, "stream": self._stream}), seed)

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        return _ANTHROPIC.answer(ask, reply, usage)

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        natives = [event.partition(b"\ndata: ")[2].rstrip() for event in _ANTHROPIC.events(ask, reply, usage)]
        if usage:
            counts = {"inputTokenCount": prompt_tokens(ask).prompt, "outputTokenCount": reply.tokens.output}
            natives[-1] = natives[-1][:-1] + b',"amazon-bedrock-invocationMetrics":' + _to_json(counts) + b"}"
        return [event_frame("chunk", _to_json({"bytes": b64encode(native).decode()})) for native in natives]


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"The request body is not valid: {error}") from error


def _text(blocks: list[_Block]) -> str:
    return "\n".join(block.text for block in blocks if block.text)


def _turn(message: _Message) -> Turn:
    results = [block.tool_result for block in message.content if block.tool_result is not None]
    if results:
        said = [each.text or _to_json(each.json).decode() for result in results for each in result.content]
        return Turn("tool", "\n".join(said))
    return Turn("assistant" if message.role == "assistant" else "user", _text(message.content))


def _blocks(ask: Ask, reply: Reply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.reasoning:
        reasoning = {"text": reply.reasoning, "signature": f"c2ln{ask.seed}"}
        blocks.append({"reasoningContent": {"reasoningText": reasoning}})
    if reply.text:
        blocks.append({"text": reply.text})
    if reply.call:
        call = {"input": dict(reply.call.arguments), "name": reply.call.name, "toolUseId": f"tooluse_{ask.seed}"}
        blocks.append({"toolUse": call})
    return blocks


def _block_events(index: int, block: dict[str, Any]) -> list[bytes]:
    """Only a tool's block is announced; the others begin with their first delta."""
    begun: list[bytes] = []
    if call := block.get("toolUse"):
        start = {"toolUse": {"name": call["name"], "toolUseId": call["toolUseId"]}}
        begun = [_event("contentBlockStart", contentBlockIndex=index, start=start)]
        arguments = _to_json(call["input"]).decode()
        middle = len(arguments) // 2
        deltas: list[dict[str, Any]] = [
            {"toolUse": {"input": half}} for half in ("", arguments[:middle], arguments[middle:])
        ]
    elif reasoning := block.get("reasoningContent"):
        said = reasoning["reasoningText"]
        deltas = [{"reasoningContent": {"text": piece}} for piece in pieces(said["text"])]
        deltas.append({"reasoningContent": {"signature": said["signature"]}})
    else:
        deltas = [{"text": piece} for piece in pieces(block["text"])]
    return [
        *begun,
        *(_event("contentBlockDelta", contentBlockIndex=index, delta=delta) for delta in deltas),
        _event("contentBlockStop", contentBlockIndex=index),
    ]


def _stop_reason(reply: Reply) -> str:
    if reply.call:
        return "tool_use"
    return "max_tokens" if reply.cut else "end_turn"


def _usage(ask: Ask, reply: Reply) -> dict[str, int]:
    """`inputTokens` leaves out what was read from or written to the cache, `totalTokens` does not."""
    tokens = reply.tokens
    read, written = (tokens.history, tokens.newest) if ask.caching else (0, 0)
    return {
        "inputTokens": tokens.prompt - read - written,
        "outputTokens": tokens.output,
        "totalTokens": tokens.prompt + tokens.output,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
    }


def _event(kind: str, **fields: Any) -> bytes:
    """As AWS does, padded so that a frame's length does not tell what is in it."""
    return event_frame(kind, _to_json(fields | {"p": "abcdefghijklmnopqrstuvwxyz"[: 1 + len(fields)]}))
