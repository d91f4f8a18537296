"""OpenAI's Embeddings and Moderations as the built-in model speaks them. No I/O; neither streams.

Shapes: openai 3.54's types. A vector comes from its text's hash: the same text, the same vector, and no meaning.
"""

from base64 import b64encode
from hashlib import blake2b
from struct import pack
from typing import Any

import msgspec

from gateway.demo.conversation import Ask, Reply, Turn
from gateway.demo.dialect import SSE, BadRequestError, Headers, Problem
from gateway.demo.openai_chat import OpenAIChat

_to_json = msgspec.json.Encoder().encode
_DIMENSIONS, _MOST_DIMENSIONS = 8, 4096
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")


class _Request(msgspec.Struct):
    input: Any
    model: str = "demo"
    dimensions: int | None = None
    encoding_format: str | None = None


class OpenAISmall:
    """What both have in common."""

    stream_type = SSE

    def read(self, body: bytes, seed: str) -> Ask:
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"We could not parse the JSON body of your request: {error}") from error
        inputs = request.input if isinstance(request.input, list) else [request.input]
        options = {"dimensions": request.dimensions, "encoding_format": request.encoding_format}
        turns = tuple(Turn("user", str(each)) for each in inputs)
        return Ask(seed=seed, model=request.model, turns=turns, options=options)

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        raise NotImplementedError  # nobody can ask for them

    def error(self, problem: Problem, seed: str) -> bytes:
        return OpenAIChat().error(problem, seed)

    def error_event(self, problem: Problem, seed: str) -> bytes:
        return OpenAIChat().error_event(problem, seed)

    def headers(self, seed: str) -> Headers:
        return OpenAIChat().headers(seed)


class OpenAIEmbeddings(OpenAISmall):
    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        size = min(ask.options["dimensions"] or _DIMENSIONS, _MOST_DIMENSIONS)
        base64 = ask.options["encoding_format"] == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _vector(turn.text, size, base64)}
            for index, turn in enumerate(ask.turns)
        ]
        body: dict[str, Any] = {"object": "list", "data": data, "model": ask.model}
        if usage:
            body["usage"] = {"prompt_tokens": reply.tokens.prompt, "total_tokens": reply.tokens.prompt}
        return _to_json(body)


class OpenAIModerations(OpenAISmall):
    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes:
        return _to_json(
            {"id": f"modr-{ask.seed}", "model": ask.model, "results": [_result(turn.text) for turn in ask.turns]}
        )


def _vector(text: str, size: int, base64: bool) -> list[float] | str:
    digests = (blake2b(f"{block} {text}".encode()).digest() for block in range(size // 64 + 1))
    # Sixteenths: exact in 32 bits too, so that both encodings say the same.
    vector = [(byte % 32 - 16) / 16 for digest in digests for byte in digest][:size]
    return b64encode(pack(f"<{size}f", *vector)).decode() if base64 else vector


def _result(text: str) -> dict[str, Any]:
    """Flags what speaks of violence by that very word."""
    found = {name: name in text.lower() for name in _CATEGORIES}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": {name: 0.9 if hit else 0.01 for name, hit in found.items()},
        "category_applied_input_types": {name: ["text"] for name in found},
    }
