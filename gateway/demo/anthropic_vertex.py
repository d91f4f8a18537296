"""Anthropic Messages on Vertex AI as the built-in model speaks it: the path says the model. No I/O."""

from typing import Any

import msgspec

from gateway.demo.anthropic_messages import AnthropicMessages
from gateway.demo.conversation import Ask
from gateway.demo.dialect import BadRequestError


class AnthropicVertex(AnthropicMessages):
    def __init__(self, model: str, *, stream: bool) -> None:
        self._model = model
        self._stream = stream

    def read(self, body: bytes, seed: str) -> Ask:
        try:
            said = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequestError(f"The request body is not valid: {error}") from error
        return super().read(msgspec.json.encode({**said, "model": self._model, "stream": self._stream}), seed)
