"""OpenAI Chat Completions as the built-in model speaks it. No I/O; answers one choice, whatever `n` says.

Shapes: openai 3.54's types, and OpenAI's API reference. `reasoning_content` is vLLM's and DeepSeek's addition, which
compatible servers send; OpenAI itself reports reasoning in the usage only.
"""

from typing import Any

import msgspec

from gateway.demo.conversation import Ask, Reply, Tool, Turn, pieces
from gateway.demo.dialect import SSE, BadRequestError, Headers, Problem

CREATED = 1_780_000_000
"""Every answer's `created`: bodies hold no clock, so that they can be compared."""
_TYPES = {429: "requests", 500: "server_error", 502: "server_error", 503: "server_error", 504: "server_error"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_to_json = msgspec.json.Encoder().encode


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_call_id: str = ""


class _Function(msgspec.Struct):
    name: str = ""
    parameters: dict[str, Any] = {}


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _Function = msgspec.field(default_factory=_Function)


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] | None = None
    tool_choice: Any = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None


class OpenAIChat:
    stream_type = SSE

    def read(self, body: bytes, seed: str) -> Ask:
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"We could not parse the JSON body of your request: {error}") from error
        options = request.stream_options
        return Ask(
            seed=seed,
            model=request.model,
            turns=tuple(_turn(message) for message in request.messages),
            tools=tuple(Tool(tool.function.name, tool.function.parameters) for tool in request.tools or ()),
            tool_required=request.tool_choice == "required" or isinstance(request.tool_choice, dict),
            stream=bool(request.stream),
            include_usage=bool(options and options.include_usage),
            reasoning=request.reasoning_effort not in (None, "none"),
            max_tokens=request.max_completion_tokens or request.max_tokens,
        )

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        if reply.call:
            message["tool_calls"] = [_call(ask, reply)]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
        body = _frame(ask, "chat.completion", choices=[choice])
        if usage:
            body["usage"] = _usage(reply)
        return _to_json(body | {"service_tier": "default", "system_fingerprint": "fp_builtin"})

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "" if reply.text else None, "refusal": None}]
        deltas += [{"reasoning_content": piece} for piece in pieces(reply.reasoning)]
        deltas += [{"content": piece} for piece in pieces(reply.text)]
        deltas += _call_deltas(ask, reply)
        wants_usage = ask.include_usage and usage
        chunks = [_chunk(ask, delta, None, wants_usage) for delta in deltas]
        chunks.append(_chunk(ask, {}, _finish(reply), wants_usage))
        if wants_usage:
            chunks.append(_frame(ask, "chat.completion.chunk", choices=[]) | {"usage": _usage(reply)})
        return [*(_event(_to_json(chunk)) for chunk in chunks), _event(b"[DONE]")]

    def error(self, problem: Problem, seed: str) -> bytes:
        return _to_json(error_of(problem))

    def error_event(self, problem: Problem, seed: str) -> bytes:
        return _event(self.error(problem, seed))

    def headers(self, seed: str) -> Headers:
        return (
            ("x-request-id", f"req_{seed}"),
            ("openai-organization", "org-builtin"),
            ("openai-processing-ms", "12"),
            ("openai-version", "2020-10-01"),
            ("x-ratelimit-limit-requests", "10000"),
            ("x-ratelimit-remaining-requests", "9999"),
        )


def _turn(message: _Message) -> Turn:
    content = message.content
    text = content if isinstance(content, str) else "\n".join(part.text for part in content or ())
    match message.role:
        case "system" | "developer":
            return Turn("system", text)
        case "assistant":
            return Turn("assistant", text)
        case "tool" | "function":
            return Turn("tool", text)
    return Turn("user", text)


def _frame(ask: Ask, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{ask.seed}",
        "object": kind,
        "created": CREATED,
        "model": ask.model,
        "choices": choices,
    }


def _chunk(ask: Ask, delta: dict[str, Any], finish: str | None, wants_usage: bool) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = _frame(ask, "chat.completion.chunk", choices=[choice])
    chunk |= {"service_tier": "default", "system_fingerprint": "fp_builtin"}
    return chunk | {"usage": None} if wants_usage else chunk


def _call(ask: Ask, reply: Reply) -> dict[str, Any]:
    assert reply.call is not None
    arguments = _to_json(reply.call.arguments).decode()
    return {
        "id": f"call_{ask.seed}",
        "type": "function",
        "function": {"name": reply.call.name, "arguments": arguments},
    }


def _call_deltas(ask: Ask, reply: Reply) -> list[dict[str, Any]]:
    """Name first, then the arguments in two halves, as OpenAI streams them."""
    if reply.call is None:
        return []
    call = _call(ask, reply)
    arguments = call["function"]["arguments"]
    middle = len(arguments) // 2
    call["function"] = {"name": reply.call.name, "arguments": ""}
    halves = (arguments[:middle], arguments[middle:])
    return [
        {"tool_calls": [{"index": 0} | call]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": half}}]} for half in halves),
    ]


def _finish(reply: Reply) -> str:
    if reply.call:
        return "tool_calls"
    return "length" if reply.cut else "stop"


def _usage(reply: Reply) -> dict[str, Any]:
    tokens = reply.tokens
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.prompt + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.history, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def error_of(problem: Problem) -> dict[str, Any]:
    kind = problem.type or _TYPES.get(problem.status, "invalid_request_error")
    code = problem.code or _CODES.get(problem.status)
    return {"error": {"message": problem.message, "type": kind, "param": problem.param, "code": code}}


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
