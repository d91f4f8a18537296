"""Ollama's chat, generate and embed as the built-in model speaks them. No I/O.

Shapes: ollama 0.6's types, and Ollama's API reference. Bodies hold no clock, so that they can be compared.
"""

from typing import Any

import msgspec

from gateway.demo.conversation import Ask, Reply, Tool, Turn, pieces
from gateway.demo.dialect import BadRequestError, Headers, Problem
from gateway.demo.vectors import vector_of

_CREATED = "2026-05-28T20:26:40Z"
_to_json = msgspec.json.Encoder().encode


class _Function(msgspec.Struct):
    name: str = ""
    parameters: dict[str, Any] = {}


class _Tool(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    role: str
    content: str = ""
    tool_name: str = ""


class _Options(msgspec.Struct):
    num_predict: int | None = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message] = []
    prompt: str = ""
    system: str = ""
    input: str | list[str] = []
    stream: bool = True
    think: bool | str | None = None
    tools: list[_Tool] | None = None
    options: _Options | None = None


class OllamaChat:
    stream_type = "application/x-ndjson"

    def read(self, body: bytes, seed: str) -> Ask:
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"invalid request: {error}") from error
        limit = request.options.num_predict if request.options else None
        return Ask(
            seed=seed,
            model=request.model,
            turns=_turns(request),
            tools=tuple(Tool(tool.function.name, tool.function.parameters) for tool in request.tools or ()),
            stream=self._streams(request),
            reasoning=bool(request.think),
            max_tokens=limit if limit is not None and limit >= 0 else None,
        )

    def _streams(self, request: _Request) -> bool:
        return request.stream

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        said: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.reasoning:
            said["thinking"] = reply.reasoning
        return _to_json(_line(ask) | self._said(said | _calls(ask, reply)) | _ending(reply, usage))

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        said = [{"content": "", "thinking": piece} for piece in pieces(reply.reasoning)]
        said += [{"content": piece} for piece in pieces(reply.text)]
        said += [{"content": ""} | calls for calls in [_calls(ask, reply)] if calls]
        lines = [_line(ask) | self._said({"role": "assistant"} | piece) | {"done": False} for piece in said]
        lines.append(_line(ask) | self._said({"role": "assistant", "content": ""}) | _ending(reply, usage))
        return [_to_json(line) + b"\n" for line in lines]

    def _said(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"message": message}

    def error(self, problem: Problem, seed: str) -> bytes:
        return _to_json({"error": problem.message})

    def error_event(self, problem: Problem, seed: str) -> bytes:
        return self.error(problem, seed) + b"\n"

    def headers(self, seed: str) -> Headers:
        return ()


class OllamaGenerate(OllamaChat):
    def _said(self, message: dict[str, Any]) -> dict[str, Any]:
        said = {"response": message["content"]}
        return said | {"thinking": message["thinking"]} if "thinking" in message else said


class OllamaEmbed(OllamaChat):
    def _streams(self, request: _Request) -> bool:
        return False

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        said = {"model": ask.model, "embeddings": [vector_of(turn.text) for turn in ask.turns], "total_duration": 1}
        return _to_json(said | {"prompt_eval_count": reply.tokens.prompt} if usage else said)


def _turns(request: _Request) -> tuple[Turn, ...]:
    if request.messages:
        return tuple(_turn(message) for message in request.messages)
    texts = [request.input] if isinstance(request.input, str) else request.input
    said = [Turn("user", text) for text in (request.prompt, *texts) if text]
    return (Turn("system", request.system), *said) if request.system else tuple(said)


def _turn(message: _Message) -> Turn:
    match message.role:
        case "system":
            return Turn("system", message.content)
        case "assistant":
            return Turn("assistant", message.content)
        case "tool":
            return Turn("tool", message.content, message.tool_name)
    return Turn("user", message.content)


def _line(ask: Ask) -> dict[str, Any]:
    return {"model": ask.model, "created_at": _CREATED}


def _calls(ask: Ask, reply: Reply) -> dict[str, Any]:
    """Whole at once, the arguments an object."""
    if reply.call is None:
        return {}
    function = {"index": 0, "name": reply.call.name, "arguments": dict(reply.call.arguments)}
    return {"tool_calls": [{"id": f"call_{ask.seed}", "function": function}]}


def _ending(reply: Reply, usage: bool) -> dict[str, Any]:
    ending = {"done": True, "done_reason": "length" if reply.cut else "stop", "total_duration": 12, "load_duration": 1}
    if not usage:
        return ending
    tokens = reply.tokens
    return ending | {
        "prompt_eval_count": tokens.prompt,
        "prompt_eval_duration": 1,
        "eval_count": tokens.output,
        "eval_duration": 10,
    }
