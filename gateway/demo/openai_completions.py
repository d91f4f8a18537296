"""OpenAI's older Completions as the built-in model speaks it. No I/O; answers one choice, whatever `n` says.

Shapes: openai 3.54's types. Bodies hold no clock, so that they can be compared.
"""

from typing import Any

import msgspec

from gateway.demo.conversation import Ask, Reply, Turn, pieces
from gateway.demo.dialect import SSE, BadRequestError, Headers, Problem
from gateway.demo.openai_chat import CREATED, OpenAIChat

_to_json = msgspec.json.Encoder().encode


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Request(msgspec.Struct):
    model: str
    prompt: str | list[str | int | list[int]]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None


class OpenAICompletions:
    stream_type = SSE

    def read(self, body: bytes, seed: str) -> Ask:
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"We could not parse the JSON body of your request: {error}") from error
        prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
        options = request.stream_options
        return Ask(
            seed=seed,
            model=request.model,
            turns=(Turn("user", "\n".join(prompt for prompt in prompts if isinstance(prompt, str))),),
            stream=bool(request.stream),
            include_usage=bool(options and options.include_usage),
            max_tokens=request.max_tokens,
        )

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        body = _frame(ask, reply.text, "length" if reply.cut else "stop")
        return _to_json(body | ({"usage": _usage(reply)} if usage else {}))

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        chunks = [_frame(ask, piece, None) for piece in pieces(reply.text)]
        chunks.append(_frame(ask, "", "length" if reply.cut else "stop"))
        if ask.include_usage and usage:
            chunks.append(_frame(ask, "", None) | {"choices": [], "usage": _usage(reply)})
        return [*(b"data: " + _to_json(chunk) + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n"]

    def error(self, problem: Problem, seed: str) -> bytes:
        return OpenAIChat().error(problem, seed)

    def error_event(self, problem: Problem, seed: str) -> bytes:
        return OpenAIChat().error_event(problem, seed)

    def headers(self, seed: str) -> Headers:
        return OpenAIChat().headers(seed)


def _frame(ask: Ask, text: str, finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {
        "id": f"cmpl-{ask.seed}",
        "object": "text_completion",
        "created": CREATED,
        "model": ask.model,
        "choices": [choice],
    }


def _usage(reply: Reply) -> dict[str, int]:
    tokens = reply.tokens
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.prompt + tokens.output,
    }
