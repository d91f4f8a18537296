"""Mistral's fill-in-the-middle as the built-in model speaks it; its chat is OpenAI's. No I/O."""

import msgspec

from gateway.demo.conversation import Ask, Turn
from gateway.demo.dialect import BadRequestError
from gateway.demo.openai_chat import OpenAIChat


class _Request(msgspec.Struct):
    model: str
    prompt: str
    suffix: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None


class MistralFim(OpenAIChat):
    def read(self, body: bytes, seed: str) -> Ask:
        try:
            request = msgspec.json.decode(body, type=_Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"The request body is not valid: {error}") from error
        return Ask(
            seed=seed,
            model=request.model,
            turns=(Turn("user", request.prompt + (request.suffix or "")),),
            stream=bool(request.stream),
            max_tokens=request.max_tokens,
        )
