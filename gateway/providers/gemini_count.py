"""Google's countTokens: what is counted is shown to agents, the count is no usage. No I/O.

Source: google-genai 3.6 (`models.py`, `types.CountTokensResponse`), ai.google.dev/api/tokens.
"""

from typing import Any

import msgspec

from gateway.contracts import KnownMessages, ResponseReader
from gateway.model.exchange import Refusal
from gateway.model.message import RequestReading, ResponseReading
from gateway.providers import settings
from gateway.providers.counts import CountsReader
from gateway.providers.errors import error_type_of
from gateway.providers.gemini_generate import Fields, content_list, read_conversation
from gateway.providers.google_names import call_in, camel_keys_once, google_error, method_of
from gateway.providers.request import NO_RAW, add_unread, unreadable_request, with_repair

_decode_fields = msgspec.json.Decoder(Fields).decode
_NAMES = frozenset({"generateContentRequest", "generate_content_request"})


class _Answer(msgspec.Struct, rename="camel"):
    total_tokens: Any = None
    error: Any = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


class GeminiCount:
    """Implements `Provider`."""

    name = "gemini_count_tokens"
    operation = "count_tokens"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and method_of(path) == "countTokens"

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        counted = with_repair(_counted, body)
        reading = RequestReading() if counted is not None else unreadable_request(body)
        reading.model = call_in(target).model
        if counted is not None:
            whole, fields = counted
            if whole is not NO_RAW:
                add_unread(reading, body, _NAMES, [("generateContentRequest", (whole,))], known)
            read_conversation(reading, body if whole is NO_RAW else bytes(whole), fields, known)
        return reading

    def response_reader(self, request: RequestReading | None, status: int, content_type: str) -> ResponseReader:
        return CountsReader(status, _take)

    def refusal(self, refusal: Refusal) -> bytes:
        return google_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        """These answers are no streams."""
        return google_error(refusal)


def _counted(body: bytes) -> tuple[msgspec.Raw, Fields]:
    """The whole request that would be sent, if that is what is counted, and the fields with the contents."""
    fields = camel_keys_once(_decode_fields(body))
    whole = fields.get("generateContentRequest", NO_RAW)
    if whole is not NO_RAW:
        fields = camel_keys_once(_decode_fields(whole))
    if "contents" not in fields:
        raise ValueError("no contents")
    content_list(fields["contents"])
    return whole, fields


def _take(body: bytes, reading: ResponseReading) -> None:
    answer = _decode_answer(body)
    if answer.error is not None:
        reading.error_type = error_type_of(answer.error)
    settings.add_int(reading.attributes, settings.COUNTED_TOKENS, answer.total_tokens)
