"""OpenAI's token counting (`POST …/responses/input_tokens`): reads what is counted; the count is no usage. No I/O.

Source: types of openai 3.54 (`types/responses/input_token_count_params.py`, `input_token_count_response.py`).
"""

from gateway.contracts import ResponseReader
from gateway.model.message import RequestReading
from gateway.providers.counts import CountsReader, take_input_tokens
from gateway.providers.openai_responses import OpenAIResponses


class OpenAIResponsesCount(OpenAIResponses):
    """Implements `Provider`. The request is a response's without its limits."""

    name = "openai_responses_count"
    operation = "count_tokens"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/responses/input_tokens")

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return CountsReader(status, take_input_tokens)
