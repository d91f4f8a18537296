"""OpenAI Responses as the built-in model speaks it: whole, streamed, and made in the background. No I/O.

Shapes: openai 3.54's types, and OpenAI's API reference. Nothing is kept: a poll is answered from the id alone.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from gateway.demo.conversation import Ask, Reply, Tokens, Tool, Turn, pieces
from gateway.demo.dialect import SSE, BadRequestError, Headers, Problem
from gateway.demo.openai_chat import CREATED, OpenAIChat, error_of

_to_json = msgspec.json.Encoder().encode
_CALLS = ("function_call", "custom_tool_call")
_POLLED = Tokens(history=0, newest=8, output=12, reasoning=0)
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


class _Tool(msgspec.Struct):
    type: str = "function"
    name: str = ""
    parameters: dict[str, Any] | None = None
    tools: list["_Tool"] = []
    """Of a namespace."""


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _Request(msgspec.Struct):
    model: str
    input: str | list[dict[str, Any]] = ""
    instructions: str | None = None
    stream: bool | None = None
    tools: list[_Tool] | None = None
    tool_choice: Any = None
    max_output_tokens: int | None = None
    reasoning: _Reasoning | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    generate: bool | None = None
    """Over a WebSocket: False makes ready for what comes next, and is answered with nothing."""


class OpenAIResponses:
    stream_type = SSE

    def read(self, body: bytes, seed: str) -> Ask:
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"We could not parse the JSON body of your request: {error}") from error
        said = [Turn("user", request.input)] if isinstance(request.input, str) else _turns(request.input)
        conversation = request.conversation
        offered = list(_offered(request.tools or ()))
        return Ask(
            seed=seed,
            model=request.model,
            turns=(*([Turn("system", request.instructions)] if request.instructions else ()), *said),
            tools=tuple(Tool(tool.name, tool.parameters or {}) for _, tool in offered),
            tool_required=request.tool_choice == "required" or isinstance(request.tool_choice, dict),
            stream=bool(request.stream),
            reasoning=request.reasoning is not None and request.reasoning.effort not in (None, "none"),
            max_tokens=request.max_output_tokens,
            options={
                "background": bool(request.background),
                "previous_response_id": request.previous_response_id,
                "conversation": {"id": conversation} if isinstance(conversation, str) else conversation,
                "ready": request.generate is False,
                "custom": {tool.name for _, tool in offered if tool.type == "custom"},
                "namespaces": {tool.name: namespace for namespace, tool in offered if namespace},
            },
        )

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        if ask.options.get("background"):
            return _to_json(_response(ask, "queued", []))
        return _to_json(_ended(ask, reply, usage))

    def poll(self, response_id: str) -> bytes:
        """A response that was begun in the background, and is there by now."""
        ask = Ask(seed=response_id.removeprefix("resp_"), model="demo", turns=())
        item = _message(ask, "What you asked for in the background is done.")
        return _to_json(_response(ask, "completed", [item]) | {"background": True, "usage": usage_of(_POLLED)})

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        ended = _ended(ask, reply, usage)
        begun = _response(ask, "in_progress", [])
        events = [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]
        for index, item in enumerate(ended["output"]):
            events += _item_events(item, index)
        events.append({"type": f"response.{ended['status']}", "response": ended})
        return [_event(event | {"sequence_number": number}) for number, event in enumerate(events)]

    def error(self, problem: Problem, seed: str) -> bytes:
        return OpenAIChat().error(problem, seed)

    def error_event(self, problem: Problem, seed: str) -> bytes:
        said = error_of(problem)["error"]
        event = {"type": "error", "code": said["code"] or said["type"], "message": said["message"], "param": None}
        return _event(event | {"sequence_number": 3})

    def headers(self, seed: str) -> Headers:
        return OpenAIChat().headers(seed)


def _offered(tools: Iterable[_Tool]) -> Iterator[tuple[str, _Tool]]:
    """The namespace, "" for none, and what is called in it."""
    for tool in tools:
        if tool.type == "namespace":
            yield from ((tool.name, each) for each in tool.tools)
        elif tool.name:
            yield "", tool


def _turns(items: list[dict[str, Any]]) -> Iterator[Turn]:
    names: dict[Any, str] = {}
    for item in items:
        kind = item.get("type", "message")
        if kind in _CALLS:
            names[item.get("call_id")] = str(item.get("name", ""))
            yield Turn("assistant", str(item.get("arguments") or item.get("input") or ""))
        elif kind in _OUTPUTS:
            yield Turn("tool", _text(item.get("output")), names.get(item.get("call_id"), ""))
        elif kind == "agent_message":  # Codex: from another agent of its tree
            yield Turn("user", _text(item.get("content")))
        elif kind == "message":
            role = item.get("role")
            speaker = {"assistant": "assistant", "system": "system", "developer": "system"}.get(str(role), "user")
            yield Turn(speaker, _text(item.get("content")))  # type: ignore[arg-type]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = [part for part in content or () if isinstance(part, dict)]
    return "\n".join(str(part.get("text") or part.get("encrypted_content") or "") for part in parts)


def _ended(ask: Ask, reply: Reply, usage: bool) -> dict[str, Any]:
    if ask.options.get("ready"):
        tokens = Tokens(history=0, newest=reply.tokens.prompt, output=0, reasoning=0)
        reply = Reply(text="", reasoning="", call=None, cut=False, tokens=tokens)
    response = _response(ask, "incomplete" if reply.cut else "completed", _output(ask, reply))
    if reply.cut:
        response["incomplete_details"] = {"reason": "max_output_tokens"}
    return response | {"usage": usage_of(reply.tokens) if usage else None}


def _response(ask: Ask, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"resp_{ask.seed}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": ask.options.get("background", False),
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": ask.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": ask.options.get("previous_response_id"),
        "conversation": ask.options.get("conversation"),
        "service_tier": "default",
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }


def _output(ask: Ask, reply: Reply) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        output.append({"id": f"rs_{ask.seed}", "type": "reasoning", "summary": summary})
    if reply.text:
        output.append(_message(ask, reply.text, "incomplete" if reply.cut else "completed"))
    if reply.call:
        made = {"id": f"fc_{ask.seed}", "call_id": f"call_{ask.seed}", "name": reply.call.name, "status": "completed"}
        if namespace := ask.options.get("namespaces", {}).get(reply.call.name):
            made["namespace"] = namespace
        if reply.call.name in ask.options.get("custom", ()):
            output.append(
                made | {"type": "custom_tool_call", "input": reply.call.arguments.get("input", ask.latest.text)}
            )
        else:
            output.append(made | {"type": "function_call", "arguments": _to_json(reply.call.arguments).decode()})
    return output


def _message(ask: Ask, text: str, status: str = "completed") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"id": f"msg_{ask.seed}", "type": "message", "role": "assistant", "status": status, "content": content}


def usage_of(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.history, "cache_write_tokens": 0},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt + tokens.output,
    }


def _item_events(item: dict[str, Any], index: int) -> list[dict[str, Any]]:
    """As OpenAI streams an item: empty, in pieces, whole."""
    place = {"output_index": index, "item_id": item["id"]}
    match item["type"]:
        case "message":
            part = item["content"][0]
            events = _pieces("output_text", part["text"], place | {"content_index": 0}, {"logprobs": []})
            at = place | {"content_index": 0}
            added = {"type": "response.content_part.added", "part": part | {"text": ""}} | at
            done = {"type": "response.content_part.done", "part": part} | at
            events, empty = [added, *events, done], item | {"content": [], "status": "in_progress"}
        case "reasoning":
            part = item["summary"][0]
            at = place | {"summary_index": 0}
            events = _pieces("reasoning_summary_text", part["text"], at, {})
            added = {"type": "response.reasoning_summary_part.added", "part": part | {"text": ""}} | at
            done = {"type": "response.reasoning_summary_part.done", "part": part} | at
            events, empty = [added, *events, done], item | {"summary": []}
        case "custom_tool_call":
            events = _halves("custom_tool_call_input", "input", item["input"], place)
            empty = item | {"input": "", "status": "in_progress"}
        case _:
            events = _halves("function_call_arguments", "arguments", item["arguments"], place)
            empty = item | {"arguments": "", "status": "in_progress"}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": empty},
        *events,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _pieces(kind: str, text: str, at: dict[str, Any], more: dict[str, Any]) -> list[dict[str, Any]]:
    deltas = [{"type": f"response.{kind}.delta", "delta": piece} | at | more for piece in pieces(text)]
    return [*deltas, {"type": f"response.{kind}.done", "text": text} | at | more]


def _halves(kind: str, field: str, text: str, at: dict[str, Any]) -> list[dict[str, Any]]:
    middle = len(text) // 2
    halves = [{"type": f"response.{kind}.delta", "delta": half} | at for half in (text[:middle], text[middle:])]
    return [*halves, {"type": f"response.{kind}.done", field: text} | at]


def _event(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _to_json(event))
