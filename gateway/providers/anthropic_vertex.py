"""Anthropic's Messages on Google's Vertex AI (`…/publishers/anthropic/models/{model}:rawPredict`, `:streamRawPredict`).

The body is Anthropic's without the model, the path says it; errors may also be Google's. No I/O.
Source: anthropic 2.12 (`lib/vertex/_client.py`).
"""

from gateway.contracts import KnownMessages
from gateway.model.message import RequestReading
from gateway.providers.anthropic_count import AnthropicCount
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.google_names import call_in

_PUBLISHER = "/publishers/anthropic/models/"
_STREAM = "streamRawPredict"
_COUNTING = "count-tokens"
"""Stands where a model would; the body then names the model."""


class AnthropicVertex(AnthropicMessages):
    """Implements `Provider`."""

    name = "anthropic_vertex"

    def matches(self, method: str, path: str) -> bool:
        model, called = call_in(path)
        return method == "POST" and _PUBLISHER in path and called in ("rawPredict", _STREAM) and model != _COUNTING

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        reading = super().read_request(body, known, target, content_type)
        model, called = call_in(target)
        reading.model = model or reading.model
        reading.stream = called == _STREAM
        return reading


class AnthropicVertexCount(AnthropicCount):
    """Implements `Provider`."""

    name = "anthropic_vertex_count_tokens"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and _PUBLISHER in path and call_in(path) == (_COUNTING, "rawPredict")
