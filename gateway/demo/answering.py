"""From a request to its answer: which API, which behaviour, which error. Pure: no clock, no chance, no I/O."""

from dataclasses import replace

import msgspec

from gateway.demo.anthropic_messages import AnthropicMessages
from gateway.demo.bedrock import BedrockRuntime, bedrock_dialect
from gateway.demo.behaviour import Behaviour, behaviour_of, model_names
from gateway.demo.conversation import Ask, reply_to
from gateway.demo.delivery import Answer
from gateway.demo.dialect import BadRequestError, Dialect, Headers, Problem
from gateway.demo.openai_chat import CREATED, OpenAIChat
from gateway.demo.openai_media import OpenAISpeech
from gateway.demo.openai_paths import AZURE_FILTER, OPENAI_DIALECTS, at_openai, polled
from gateway.demo.openai_small import OpenAISmall
from gateway.demo.paths import dialect_at

_OPENAI = OpenAIChat()
_ANTHROPIC = AnthropicMessages()
_DIALECTS: dict[str, Dialect] = {"/v1/messages": _ANTHROPIC, **OPENAI_DIALECTS}
_COUNT = "/v1/messages/count_tokens"
_PLAIN = Behaviour()
_JSON = "application/json"
_RETRY: Headers = (("retry-after-ms", "1"), ("retry-after", "1"))
"""On every error that SDKs retry, so that neither a demo nor a test waits long."""
_HTML = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in to the network</h1></body></html>"


def answer_to(method: str, target: str, body: bytes, tried: int, seed: str) -> tuple[Answer, Behaviour]:
    """`tried` is how often the client tried this very call before; `seed` the hash that ids are made of."""
    path, deployment = at_openai(target.partition("?")[0])
    if path in ("", "/") and method in ("GET", "HEAD"):
        return Answer(200, "text/plain", [b"The built-in model of spangate.\n"]), _PLAIN
    if path == "/v1/models" and method == "GET":
        return Answer(200, _JSON, [_models()], _OPENAI.headers(seed)), _PLAIN
    if method == "GET" and (response := polled(path)):
        return Answer(200, _JSON, [response], _OPENAI.headers(seed)), _PLAIN
    dialect = _ANTHROPIC if path == _COUNT else _DIALECTS.get(path) or bedrock_dialect(path) or dialect_at(target)
    if dialect is None:
        return _error(_OPENAI, Problem(404, f"Unknown request URL: {method} {path}.", code="unknown_url"), seed), _PLAIN
    if method != "POST":
        problem = Problem(405, f"Not allowed to {method} on {path}.", "invalid_request_error", "method_not_supported")
        return _error(dialect, problem, seed), _PLAIN
    try:
        ask = dialect.read(body, seed)
    except BadRequestError as error:
        return _error(dialect, Problem(400, str(error)), seed), _PLAIN
    if deployment:
        ask = replace(ask, model=deployment)
    if path == _COUNT:
        return Answer(200, _JSON, [_ANTHROPIC.count(ask)], _ANTHROPIC.headers(seed)), _PLAIN
    try:
        behaviour = behaviour_of(ask.model)
    except LookupError:
        message = f"The model `{ask.model}` does not exist or you do not have access to it."
        return _error(dialect, Problem(404, message, param="model"), seed), _PLAIN
    answer = _answer(dialect, ask, behaviour, tried)
    if deployment and answer.streamed:
        answer = replace(answer, pieces=[AZURE_FILTER, *answer.pieces])
    return answer, behaviour


def error_answer(status: int, message: str, seed: str) -> Answer:
    """In OpenAI's shape, for what is asked besides."""
    return _error(_OPENAI, Problem(status, message), seed)


def _answer(dialect: Dialect, ask: Ask, behaviour: Behaviour, tried: int) -> Answer:
    if status := _error_status(ask, behaviour, tried):
        problem = Problem(status, f"The built-in model answers {status}, as the model's name asks for.")
        return _error(dialect, problem, ask.seed)
    if behaviour.html:
        return Answer(200, "text/html; charset=utf-8", [_HTML])
    reply = reply_to(ask, behaviour)
    headers = dialect.headers(ask.seed)
    if not ask.stream or isinstance(dialect, OpenAISmall):
        content_type = dialect.content_type if isinstance(dialect, OpenAISpeech) else _JSON
        return Answer(200, content_type, [dialect.answer(ask, reply, behaviour.usage)], headers)
    problem = Problem(529, "The built-in model breaks off, as its name asks for.", "overloaded_error")
    return Answer(
        200,
        dialect.stream_type,
        dialect.events(ask, reply, behaviour.usage),
        (*headers, ("cache-control", "no-cache")),
        streamed=True,
        error_event=dialect.error_event(problem, ask.seed),
    )


def _error_status(ask: Ask, behaviour: Behaviour, tried: int) -> int:
    """0 where there is none."""
    if behaviour.flaky and tried == 0:
        return 429
    if behaviour.fault == "error_midway" and not ask.stream:
        return 500
    return behaviour.error


def _error(dialect: Dialect, problem: Problem, seed: str) -> Answer:
    retried = problem.status in (408, 409, 429) or problem.status >= 500
    headers = dialect.headers(seed) + (_RETRY if retried else ())
    if isinstance(dialect, BedrockRuntime):
        headers += dialect.error_headers(problem)
    return Answer(problem.status, _JSON, [dialect.error(problem, seed)], headers)


def _models() -> bytes:
    """One list that both SDKs read: OpenAI's fields and Anthropic's beside each other."""
    models = [
        {
            "id": name,
            "object": "model",
            "created": CREATED,
            "owned_by": "spangate",
            "type": "model",
            "display_name": name,
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
        }
        for name in model_names()
    ]
    page = {
        "object": "list",
        "data": models,
        "has_more": False,
        "first_id": models[0]["id"],
        "last_id": models[-1]["id"],
    }
    return msgspec.json.encode(page)
