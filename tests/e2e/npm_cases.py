"""The cases of the programs in `npm/sdks`, and what the span of each of their exchanges has to say. Data."""

from typing import Any

from tests.e2e.said import (
    FORECAST,
    GREETING,
    HELLO,
    OPENAI_ERRORS,
    RESULT,
    TOLD,
    WEATHER,
    Parts,
    Said,
    answer,
    broken,
    call,
    error,
)

_ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def _embeddings() -> Said:
    attributes = {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "demo", "spangate.end": "finished"}
    return Said([("text", "The sea")], [], attributes | {"gen_ai.usage.input_tokens": 12})


def _errors(kinds: dict[int, str], asked: str = HELLO) -> dict[str, list[Said]]:
    return {f"error-{status}": [error(f"demo-error-{status}", kind, asked)] for status, kind in kinds.items()}


def _vercel(api: str, errors: dict[int, str], told: tuple[str, int, int], cut: Parts, usage: str) -> dict[str, Any]:
    """The same cases for each of the AI SDK's APIs; `told`: the answer to the tool, and the tokens of it."""
    tools = [call((18, 18)), answer("demo-tools", told[1:], told[0], RESULT, tool=True)]
    cases: dict[str, list[Said]] = {
        "": [answer("demo", (18, 24), FORECAST, WEATHER)],
        "-stream": [answer("demo", (18, 24), FORECAST, WEATHER)],
        "-reasoning-stream": [answer("demo-reasoning", (18, 54), FORECAST, WEATHER, thought=True)],
        "-tools": tools,
        "-tools-stream": tools,
        "-retried": 2 * [error("demo-error-529", errors[529], WEATHER)],
        "-error-in-stream": broken("error", cut, usage, WEATHER),
        "-cut-stream": broken("cut", cut, usage, WEATHER),
    }
    asked = {status: errors[status] for status in (400, 401, 403, 429, 500, 529)}
    cases |= {f"-{name}": said for name, said in _errors(asked, WEATHER).items()}
    return {api + name: said for name, said in cases.items()}


_TOOLS = [call((11, 18)), answer("demo-tools", (24, 18), TOLD, RESULT, tool=True)]
_CHAT_CUT: Parts = [("text", "Hello! I ")]
CASES: dict[str, dict[str, list[Said]]] = {
    "openai": {
        "chat": [answer("demo", (7, 23), GREETING)],
        "chat-gzip": [answer("demo-gzip", (7, 23), GREETING)],
        "chat-stream": [answer("demo-reasoning", (7, 49), GREETING, thought=True)],
        "chat-stream-br": [answer("demo-br", (7, 23), GREETING)],
        "chat-stream-helper": [answer("demo", (7, 23), GREETING)],
        "chat-tools": _TOOLS,
        "responses": [answer("demo", (14, 23), GREETING)],
        "responses-stream": [answer("demo-reasoning", (7, 49), GREETING, thought=True)],
        "responses-tools": [call((11, 18))],
        "embeddings": [_embeddings()],
        "error-in-stream": broken("error", _CHAT_CUT, "missing"),
        "cut-stream": broken("cut", _CHAT_CUT, "missing"),
        "retried": [error("demo-flaky", "requests"), answer("demo-flaky", (7, 23), GREETING)],
        **_errors(OPENAI_ERRORS),
    },
    "anthropic": {
        "message": [answer("demo", (14, 23), GREETING)],
        "message-gzip": [answer("demo-gzip", (7, 23), GREETING)],
        "message-cached": [answer("demo", (14, 23), GREETING)],
        "stream": [answer("demo-reasoning", (7, 49), GREETING, thought=True)],
        "stream-br": [answer("demo-br", (7, 23), GREETING)],
        "stream-helper": [answer("demo", (7, 23), GREETING)],
        # The runner leaves the history to the server, and sends the tool's result alone.
        "tools": [call((11, 18)), answer("demo-tools", (9, 18), TOLD, RESULT, tool=True)],
        "tools-stream": [call((11, 18))],
        "count": [Said([("text", WEATHER)], [], {"gen_ai.request.model": "demo", "spangate.counted.input_tokens": 11})],
        "error-in-stream": broken("error", [], "partial"),
        "cut-stream": broken("cut", [], "partial"),
        "retried": [error("demo-flaky", "rate_limit_error"), answer("demo-flaky", (7, 23), GREETING)],
        **_errors(_ANTHROPIC_ERRORS),
    },
    "ai": {
        **_vercel("responses", OPENAI_ERRORS, (TOLD.replace("tool", "tool weather"), 35, 20), [], "missing"),
        **_vercel("chat", OPENAI_ERRORS, (TOLD, 31, 18), [("text", "Mild and ")], "missing"),
        **_vercel("anthropic", _ANTHROPIC_ERRORS, (TOLD, 31, 18), [], "partial"),
        "embeddings": [_embeddings()],
    },
}
