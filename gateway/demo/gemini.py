"""Google's generateContent, embedContent and countTokens as the built-in model speaks them. No I/O.

Shapes: google-genai 3.6's types, and Google's API reference.
"""

from typing import Any

import msgspec

from gateway.demo.conversation import Ask, Reply, Tool, Turn, pieces, prompt_tokens
from gateway.demo.dialect import SSE, BadRequestError, Headers, Problem
from gateway.demo.vectors import vector_of

_STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    504: "DEADLINE_EXCEEDED",
}
_OVERLOADED = 529
"""Not a status of Google's."""
_to_json = msgspec.json.Encoder().encode


class _Function(msgspec.Struct, rename="camel"):
    name: str = ""
    response: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


class _Part(msgspec.Struct, rename="camel"):
    text: str = ""
    function_response: _Function | None = None


class _Content(msgspec.Struct, rename="camel"):
    parts: list[_Part] = []
    role: str = "user"


class _Tool(msgspec.Struct, rename="camel"):
    function_declarations: list[_Function] = []


class _Calling(msgspec.Struct):
    mode: str = "AUTO"


class _ToolConfig(msgspec.Struct, rename="camel"):
    function_calling_config: _Calling = msgspec.field(default_factory=_Calling)


class _Thinking(msgspec.Struct, rename="camel"):
    include_thoughts: bool = False


class _Config(msgspec.Struct, rename="camel"):
    max_output_tokens: int | None = None
    thinking_config: _Thinking = msgspec.field(default_factory=_Thinking)


class _Request(msgspec.Struct, rename="camel"):
    contents: list[_Content] = []
    content: _Content | None = None
    requests: list["_Request"] = []
    """Those of a batch of embeddings; `content` is what one of them embeds."""
    system_instruction: _Content | None = None
    tools: list[_Tool] = []
    tool_config: _ToolConfig = msgspec.field(default_factory=_ToolConfig)
    generation_config: _Config = msgspec.field(default_factory=_Config)


class Gemini:
    def __init__(self, model: str, *, stream: bool = False, sse: bool = False) -> None:
        """`sse`: a stream is one of events, else a JSON array in pieces."""
        self._model = model
        self._stream = stream
        self._sse = sse

    @property
    def stream_type(self) -> str:
        return SSE if self._sse else "application/json; charset=UTF-8"

    def read(self, body: bytes, seed: str) -> Ask:
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"Invalid JSON payload received. {error}") from error
        contents = [*request.contents, *(each.content for each in (request, *request.requests) if each.content)]
        if not contents:
            raise BadRequestError("* GenerateContentRequest.contents: contents is not specified")
        system = (Turn("system", _text(request.system_instruction)),) if request.system_instruction else ()
        functions = [function for tool in request.tools for function in tool.function_declarations]
        return Ask(
            seed=seed,
            model=self._model,
            turns=system + tuple(_turn(content) for content in contents),
            tools=tuple(Tool(function.name, _schema(function)) for function in functions),
            tool_required=request.tool_config.function_calling_config.mode == "ANY",
            stream=self._stream,
            reasoning=request.generation_config.thinking_config.include_thoughts,
            max_tokens=request.generation_config.max_output_tokens,
        )

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        return _to_json(_chunk(ask, _parts(ask, reply), _finish(reply), _usage(reply) if usage else None))

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        parts = [{"text": piece, "thought": True} for piece in pieces(reply.reasoning)]
        parts += [{"text": piece} for piece in pieces(reply.text)]
        parts += _call(ask, reply)
        counts = _usage(reply) if usage else None
        chunks = [_chunk(ask, [part], None, counts and counts | {"candidatesTokenCount": 1}) for part in parts[:-1]]
        chunks.append(_chunk(ask, parts[-1:], _finish(reply), counts))
        if self._sse:
            return [b"data: " + _to_json(chunk) + b"\r\n\r\n" for chunk in chunks]
        events = [(b",\r\n" if place else b"[") + _to_json(chunk) for place, chunk in enumerate(chunks)]
        return [*events[:-1], events[-1] + b"]"]

    def error(self, problem: Problem, seed: str) -> bytes:
        """A stream that is an array is one also where it is an error."""
        error = _to_json(_error(problem))
        return b"[" + error + b"]" if self._stream and not self._sse else error

    def error_event(self, problem: Problem, seed: str) -> bytes:
        error = _to_json(_error(problem))
        return b"data: " + error + b"\r\n\r\n" if self._sse else b",\r\n" + error + b"]"

    def headers(self, seed: str) -> Headers:
        return (("server-timing", "gfet4t7; dur=12"), ("x-content-type-options", "nosniff"))


class GeminiEmbed(Gemini):
    def __init__(self, model: str, *, batch: bool) -> None:
        super().__init__(model)
        self._batch = batch

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        vectors = [{"values": vector_of(turn.text)} for turn in ask.turns]
        said: dict[str, Any] = {"embeddings": vectors} if self._batch else {"embedding": vectors[0]}
        counts = {"promptTokenCount": reply.tokens.prompt, "totalTokenCount": reply.tokens.prompt}
        return _to_json(said | {"usageMetadata": counts} if usage else said)


class GeminiCount(Gemini):
    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        return _to_json({"totalTokens": prompt_tokens(ask).prompt})


def _text(content: _Content) -> str:
    return "\n".join(part.text for part in content.parts if part.text)


def _turn(content: _Content) -> Turn:
    results = [part.function_response for part in content.parts if part.function_response]
    if results:
        said = [_result(result.response or {}) for result in results]
        return Turn("tool", "\n".join(said), results[0].name)
    return Turn("assistant" if content.role == "model" else "user", _text(content))


def _result(response: dict[str, Any]) -> str:
    result = response.get("result")
    return result if isinstance(result, str) else _to_json(response).decode()


def _schema(function: _Function) -> dict[str, Any]:
    """Google's own schemas shout their types."""
    schema = function.parameters_json_schema or function.parameters or {}
    properties = schema.get("properties", {})
    return {"properties": {name: _lowered(held) for name, held in properties.items()}}


def _lowered(schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return schema | {"type": kind.lower()} if isinstance(kind, str) else schema


def _parts(ask: Ask, reply: Reply) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": reply.reasoning, "thought": True}] if reply.reasoning else []
    parts += [{"text": reply.text}] if reply.text else []
    return parts + _call(ask, reply)


def _call(ask: Ask, reply: Reply) -> list[dict[str, Any]]:
    if reply.call is None:
        return []
    call = {"id": f"call_{ask.seed}", "name": reply.call.name, "args": dict(reply.call.arguments)}
    return [{"functionCall": call, "thoughtSignature": "c2ln" * 4}]


def _chunk(ask: Ask, parts: list[dict[str, Any]], finish: str | None, usage: dict[str, Any] | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
    if finish:
        candidate["finishReason"] = finish
    chunk: dict[str, Any] = {"candidates": [candidate | {"index": 0}]}
    if usage is not None:
        chunk["usageMetadata"] = usage
    return chunk | {"modelVersion": ask.model, "responseId": f"resp-{ask.seed}"}


def _finish(reply: Reply) -> str:
    """Tool calls end with STOP as well."""
    return "MAX_TOKENS" if reply.cut else "STOP"


def _usage(reply: Reply) -> dict[str, Any]:
    tokens = reply.tokens
    counts = {
        "promptTokenCount": tokens.prompt,
        "candidatesTokenCount": tokens.output - tokens.reasoning,
        "totalTokenCount": tokens.prompt + tokens.output,
        "cachedContentTokenCount": tokens.history,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens.prompt}],
    }
    return counts | {"thoughtsTokenCount": tokens.reasoning} if tokens.reasoning else counts


def _error(problem: Problem) -> dict[str, Any]:
    code = 503 if problem.status == _OVERLOADED else problem.status
    status = _STATUSES.get(code, "UNAVAILABLE" if code >= 500 else "INVALID_ARGUMENT")
    return {"error": {"code": code, "message": problem.message, "status": status}}
