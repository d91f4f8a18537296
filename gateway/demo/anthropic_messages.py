"""Anthropic Messages as the built-in model speaks it. No I/O.

Shapes: anthropic 2.12's types, and Anthropic's API reference.
"""

from typing import Any

import msgspec

from gateway.demo.conversation import Ask, Reply, Tool, Turn, pieces, prompt_tokens
from gateway.demo.dialect import SSE, BadRequestError, Headers, Problem

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_to_json = msgspec.json.Encoder().encode


class _Block(msgspec.Struct):
    type: str = "text"
    text: str = ""
    thinking: str = ""
    content: str | list["_Block"] | None = None
    """A tool's result."""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Block]


class _Tool(msgspec.Struct):
    name: str
    input_schema: dict[str, Any] = {}


class _Choice(msgspec.Struct):
    type: str = "auto"


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    max_tokens: int | None = None
    system: str | list[_Block] | None = None
    stream: bool | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Choice | None = None


class AnthropicMessages:
    stream_type = SSE

    def read(self, body: bytes, seed: str) -> Ask:
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"The request body is not valid: {error}") from error
        system = (Turn("system", _text(request.system)),) if request.system else ()
        return Ask(
            seed=seed,
            model=request.model,
            turns=system + tuple(_turn(message) for message in request.messages),
            tools=tuple(Tool(tool.name, tool.input_schema) for tool in request.tools or ()),
            tool_required=request.tool_choice is not None and request.tool_choice.type in ("any", "tool"),
            stream=bool(request.stream),
            reasoning=request.thinking is not None and request.thinking.type != "disabled",
            max_tokens=request.max_tokens,
            caching=b'"cache_control"' in body,
        )

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        message = _message(ask, content=_blocks(ask, reply), stop_reason=_stop_reason(reply))
        return _to_json(message | {"usage": _usage(ask, reply)} if usage else message)

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        message = _message(ask, content=[], stop_reason=None)
        if usage:
            message["usage"] = _usage(ask, reply) | {"output_tokens": 1}
        events = [_event("message_start", message=message), _event("ping")]
        for index, block in enumerate(_blocks(ask, reply)):
            events += _block_events(index, block)
        ending: dict[str, Any] = {"delta": {"stop_reason": _stop_reason(reply), "stop_sequence": None}}
        if usage:
            ending["usage"] = _usage(ask, reply)
        return [*events, _event("message_delta", **ending), _event("message_stop")]

    def count(self, ask: Ask) -> bytes:
        """The answer of `/v1/messages/count_tokens`."""
        return _to_json({"input_tokens": prompt_tokens(ask).prompt})

    def error(self, problem: Problem, seed: str) -> bytes:
        return _to_json(_error(problem, seed))

    def error_event(self, problem: Problem, seed: str) -> bytes:
        return b"event: error\ndata: " + self.error(problem, seed) + b"\n\n"

    def headers(self, seed: str) -> Headers:
        return (
            ("request-id", f"req_{seed}"),
            ("anthropic-organization-id", "0b0b0b0b-0000-4000-8000-000000000000"),
            ("anthropic-ratelimit-requests-limit", "4000"),
            ("anthropic-ratelimit-requests-remaining", "3999"),
        )


def _text(content: str | list[_Block] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(block.text or block.thinking or _text(block.content) for block in content)


def _turn(message: _Message) -> Turn:
    content = message.content
    if isinstance(content, list) and (results := [block for block in content if block.type == "tool_result"]):
        return Turn("tool", _text(results))
    match message.role:
        case "assistant":
            return Turn("assistant", _text(content))
        case "system":
            return Turn("system", _text(content))
    return Turn("user", _text(content))


def _message(ask: Ask, content: list[dict[str, Any]], stop_reason: str | None) -> dict[str, Any]:
    return {
        "id": f"msg_{ask.seed}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
    }


def _blocks(ask: Ask, reply: Reply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.reasoning:
        blocks.append({"type": "thinking", "thinking": reply.reasoning, "signature": f"c2ln{ask.seed}"})
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    if reply.call:
        arguments = dict(reply.call.arguments)
        blocks.append({"type": "tool_use", "id": f"toolu_{ask.seed}", "name": reply.call.name, "input": arguments})
    return blocks


def _block_events(index: int, block: dict[str, Any]) -> list[bytes]:
    """Start (with the block emptied), deltas, stop."""
    match block["type"]:
        case "thinking":
            empty = block | {"thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "tool_use":
            empty = block | {"input": {}}
            arguments = _to_json(block["input"]).decode()
            middle = len(arguments) // 2
            halves = ("", arguments[:middle], arguments[middle:])
            deltas = [{"type": "input_json_delta", "partial_json": half} for half in halves]
        case _:
            empty = block | {"text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    return [
        _event("content_block_start", index=index, content_block=empty),
        *(_event("content_block_delta", index=index, delta=delta) for delta in deltas),
        _event("content_block_stop", index=index),
    ]


def _stop_reason(reply: Reply) -> str:
    if reply.call:
        return "tool_use"
    return "max_tokens" if reply.cut else "end_turn"


def _usage(ask: Ask, reply: Reply) -> dict[str, Any]:
    """`input_tokens` leaves out what was read from or written to the cache, as Anthropic's does."""
    tokens = reply.tokens
    read = tokens.history if ask.caching else 0
    written = tokens.newest if ask.caching else 0
    return {
        "input_tokens": tokens.prompt - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": tokens.output,
        "output_tokens_details": {"thinking_tokens": tokens.reasoning},
        "service_tier": "standard",
    }


def _error(problem: Problem, seed: str) -> dict[str, Any]:
    default = "api_error" if problem.status >= 500 else "invalid_request_error"
    kind = problem.type or _TYPES.get(problem.status, default)
    return {"type": "error", "error": {"type": kind, "message": problem.message}, "request_id": f"req_{seed}"}


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _to_json({"type": kind} | fields) + b"\n\n"
