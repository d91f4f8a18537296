"""Cohere's chat, embed and rerank (version 2) as the built-in model speaks them. No I/O.

Shapes: cohere 7.3's types, and Cohere's API reference.
"""

from typing import Any

import msgspec

from gateway.demo.conversation import Ask, Reply, Tool, Turn, pieces
from gateway.demo.dialect import SSE, BadRequestError, Headers, Problem
from gateway.demo.vectors import vector_of

_to_json = msgspec.json.Encoder().encode


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _Function(msgspec.Struct):
    name: str = ""
    parameters: dict[str, Any] = {}


class _Tool(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)


class _Thinking(msgspec.Struct):
    type: str = "disabled"


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message] = []
    stream: bool = False
    tools: list[_Tool] | None = None
    tool_choice: str | None = None
    max_tokens: int | None = None
    thinking: _Thinking = msgspec.field(default_factory=_Thinking)
    texts: list[str] = []
    query: str = ""
    documents: list[Any] = []


class CohereChat:
    stream_type = SSE

    def read(self, body: bytes, seed: str) -> Ask:
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"invalid request: {error}") from error
        return Ask(
            seed=seed,
            model=request.model,
            turns=self._turns(request),
            tools=tuple(Tool(tool.function.name, tool.function.parameters) for tool in request.tools or ()),
            tool_required=request.tool_choice == "REQUIRED",
            stream=request.stream,
            reasoning=request.thinking.type == "enabled",
            max_tokens=request.max_tokens,
        )

    def _turns(self, request: _Request) -> tuple[Turn, ...]:
        return tuple(_turn(message) for message in request.messages)

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        message: dict[str, Any] = {"role": "assistant"}
        if reply.call:
            message |= {"tool_plan": reply.reasoning or "I will call a tool.", "tool_calls": [_call(ask, reply)]}
        elif blocks := _blocks(reply):
            message["content"] = blocks
        answer = {"id": ask.seed, "message": message, "finish_reason": _finish(reply)}
        return _to_json(answer | {"usage": _usage(reply)} if usage else answer)

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        begun = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        events = [_event("message-start", id=ask.seed, delta={"message": begun})]
        if reply.call:
            events += _call_events(ask, reply)
        else:
            for index, block in enumerate(_blocks(reply)):
                events += _block_events(index, block)
        ending: dict[str, Any] = {"finish_reason": _finish(reply)}
        return [*events, _event("message-end", delta=ending | {"usage": _usage(reply)} if usage else ending)]

    def error(self, problem: Problem, seed: str) -> bytes:
        return _to_json({"id": seed, "message": problem.message})

    def error_event(self, problem: Problem, seed: str) -> bytes:
        return _event("message-end", delta={"finish_reason": "ERROR", "error": problem.message})

    def headers(self, seed: str) -> Headers:
        return (("x-debug-trace-id", seed), ("x-api-warning", ""))


class CohereEmbed(CohereChat):
    def _turns(self, request: _Request) -> tuple[Turn, ...]:
        return tuple(Turn("user", text) for text in request.texts)

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        texts = [turn.text for turn in ask.turns]
        return _to_json(
            {
                "id": ask.seed,
                "embeddings": {"float": [vector_of(text) for text in texts]},
                "texts": texts,
                "meta": _meta({"input_tokens": float(reply.tokens.prompt)} if usage else {}),
                "response_type": "embeddings_by_type",
            }
        )


class CohereRerank(CohereChat):
    def _turns(self, request: _Request) -> tuple[Turn, ...]:
        documents = [each if isinstance(each, str) else _to_json(each).decode() for each in request.documents]
        return tuple(Turn("user", text) for text in (request.query, *documents))

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        """In the order they came: the first is taken for the best."""
        count = len(ask.turns) - 1
        results = [{"index": index, "relevance_score": 1 - index / count} for index in range(count)]
        return _to_json({"id": ask.seed, "results": results, "meta": _meta({"search_units": 1.0} if usage else {})})


def _meta(billed: dict[str, float]) -> dict[str, Any]:
    return {"api_version": {"version": "2"}, "billed_units": billed}


def _turn(message: _Message) -> Turn:
    content = message.content
    text = content if isinstance(content, str) else "\n".join(part.text for part in content or ())
    match message.role:
        case "system":
            return Turn("system", text)
        case "assistant":
            return Turn("assistant", text)
        case "tool":
            return Turn("tool", text)
    return Turn("user", text)


def _blocks(reply: Reply) -> list[dict[str, str]]:
    blocks = [{"type": "thinking", "thinking": reply.reasoning}] if reply.reasoning else []
    return [*blocks, {"type": "text", "text": reply.text}] if reply.text else blocks


def _block_events(index: int, block: dict[str, str]) -> list[bytes]:
    kind = block["type"]
    start = {"message": {"content": {"type": kind, kind: ""}}}
    return [
        _event("content-start", index=index, delta=start),
        *(
            _event("content-delta", index=index, delta={"message": {"content": {kind: piece}}})
            for piece in pieces(block[kind])
        ),
        _event("content-end", index=index),
    ]


def _call(ask: Ask, reply: Reply) -> dict[str, Any]:
    assert reply.call is not None
    arguments = _to_json(reply.call.arguments).decode()
    return {
        "id": f"{reply.call.name}_{ask.seed}",
        "type": "function",
        "function": {"name": reply.call.name, "arguments": arguments},
    }


def _call_events(ask: Ask, reply: Reply) -> list[bytes]:
    """The plan, then the name, then the arguments in two halves."""
    call = _call(ask, reply)
    arguments = call["function"]["arguments"]
    middle = len(arguments) // 2
    call["function"] = call["function"] | {"arguments": ""}
    plan = pieces(reply.reasoning or "I will call a tool.")
    return [
        *(_event("tool-plan-delta", delta={"message": {"tool_plan": piece}}) for piece in plan),
        _event("tool-call-start", index=0, delta={"message": {"tool_calls": call}}),
        *(
            _event("tool-call-delta", index=0, delta={"message": {"tool_calls": {"function": {"arguments": half}}}})
            for half in (arguments[:middle], arguments[middle:])
        ),
        _event("tool-call-end", index=0),
    ]


def _finish(reply: Reply) -> str:
    if reply.call:
        return "TOOL_CALL"
    return "MAX_TOKENS" if reply.cut else "COMPLETE"


def _usage(reply: Reply) -> dict[str, Any]:
    tokens = reply.tokens
    counts = {"input_tokens": float(tokens.prompt), "output_tokens": float(tokens.output)}
    return {"billed_units": counts, "tokens": counts, "cached_tokens": float(tokens.history)}


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _to_json({"type": kind} | fields) + b"\n\n"
