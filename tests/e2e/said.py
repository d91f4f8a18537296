"""What the span of an exchange with the built-in model has to say, whichever client made it. Data and small functions."""

from typing import Any, NamedTuple

from tests.e2e.span_sink import SpanSink, attributes_of

GREETING = "Hello! I am the built-in model of spangate. Ask me something, or point a real client here."
FORECAST = "Mild and mostly dry today, with some wind from the west in the afternoon. Take a light jacket."
TOLD = "The tool says: 17 degrees in Braga. That should answer your question."
HELLO, WEATHER, RESULT = "Hello there", "How is the weather in Braga?", "17 degrees in Braga"

Parts = list[tuple[str, Any]]
"""Kind and content of each part of a message."""


class Said(NamedTuple):
    """One exchange."""

    asked: Parts
    """The last input message."""
    answered: Parts
    """The output message; nothing where there was none."""
    attributes: dict[str, Any]


def answer(
    model: str, tokens: tuple[int, int], text: str, asked: str = HELLO, *, thought: bool = False, tool: bool = False
) -> Said:
    """`tokens`: input and output. `tool`: `asked` is a tool's result."""
    thoughts = f"The question is about “{asked}”. A short and friendly answer fits best, without repeating details."
    answered: Parts = [("reasoning", thoughts)] if thought else []
    kind = "tool_call_response" if tool else "text"
    return Said([(kind, asked)], [*answered, ("text", text)], _reported(model, tokens, "stop"))


def call(tokens: tuple[int, int]) -> Said:
    return Said([("text", WEATHER)], [("tool_call", {"city": "Braga"})], _reported("demo-tools", tokens, "tool_call"))


def error(model: str, kind: str, asked: str = HELLO) -> Said:
    """The model refused."""
    ending = {"spangate.end": "upstream_error", "spangate.capture": "full", "spangate.usage.state": "missing"}
    return Said([("text", asked)], [], {"gen_ai.request.model": model, "error.type": kind} | ending)


def broken(kind: str, answered: Parts, usage: str, asked: str = HELLO) -> list[Said]:
    """A stream that had an error in it, or that the model cut: `usage` is the state."""
    model, end, capture, told = {
        "error": ("demo-error-in-stream", "finished", "full", "overloaded_error"),
        "cut": ("demo-cut-mid-stream", "upstream_gone", "truncated", "upstream_closed"),
    }[kind]
    ending = {"spangate.end": end, "spangate.capture": capture, "spangate.usage.state": usage}
    return [Said([("text", asked)], answered, {"gen_ai.request.model": model, "error.type": told} | ending)]


async def check_spans(sink: SpanSink, exchanges: list[str], *said: Said) -> None:
    """The span of each exchange says what it has to."""
    assert len(exchanges) == len(said)
    for exchange, each in zip(exchanges, said, strict=True):
        attributes = attributes_of(await sink.span(exchange))
        assert {key: attributes.get(key) for key in each.attributes} == each.attributes
        assert _plain(attributes.get("gen_ai.input.messages", [])[-1:]) == each.asked
        assert _plain(attributes.get("gen_ai.output.messages", [])) == each.answered


def _plain(messages: list[dict[str, Any]]) -> Parts:
    contents = {"tool_call": "arguments", "tool_call_response": "response"}
    parts = [part for message in messages for part in message.get("parts", ())]
    return [(part["type"], part[contents.get(part["type"], "content")]) for part in parts]


OPENAI_ERRORS = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "invalid_request_error",
    404: "invalid_request_error",
    429: "requests",
    500: "server_error",
    529: "invalid_request_error",
}
"""`error.type` by status."""


def _reported(model: str, tokens: tuple[int, int], finish: str) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.usage.input_tokens": tokens[0],
        "gen_ai.usage.output_tokens": tokens[1],
        "gen_ai.response.finish_reasons": [finish],
        "spangate.usage.state": "reported",
        "spangate.end": "finished",
        "spangate.capture": "full",
    }
