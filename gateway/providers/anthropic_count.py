"""Anthropic's token counting (`POST …/messages/count_tokens`): reads what is counted; the count is no usage. No I/O.

Source: types of anthropic 2.12 (`types/message_count_tokens_params.py`, `types/message_tokens_count.py`).
"""

from gateway.contracts import ResponseReader
from gateway.model.message import RequestReading
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.counts import CountsReader, take_input_tokens


class AnthropicCount(AnthropicMessages):
    """Implements `Provider`. The request is a message's without its limits."""

    name = "anthropic_count_tokens"
    operation = "count_tokens"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and (path.endswith("/v1/messages/count_tokens") or path == "/messages/count_tokens")

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return CountsReader(status, take_input_tokens)
