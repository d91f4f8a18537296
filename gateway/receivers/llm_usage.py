"""`include_usage`: asks for the token usage of a stream in the client's place, and keeps the extra chunk from it."""

from collections import Counter

from gateway.model.exchange import Exchange, Headers
from gateway.providers.openai_chat import OpenAIChat
from gateway.providers.openai_usage import UsageHider, asking_for_usage
from gateway.proxy.handler import Amended
from gateway.proxy.headers import for_a_plain_answer

USAGE_API = OpenAIChat.name
"""The wire format that reports the usage of a stream only to those who ask."""
_SEALED = frozenset(
    {
        b"content-encoding",
        b"content-digest",
        b"content-md5",
        b"digest",
        b"repr-digest",
        b"signature",
        b"x-amz-content-sha256",
        b"x-amz-date",
    }
)
"""A body that one of these speaks about cannot have a byte more: it is compressed, hashed or signed."""
_EVENT_STREAM = b"text/event-stream"


class UsageInjection:
    """Implements `Amendment`. Counts in `counters`: `usage_not_hidden`, answers that were encoded all the same."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters

    def request(self, exchange: Exchange, forward: Headers) -> Amended | None:
        if not _SEALED.isdisjoint(exchange.header_map):
            return None
        body = asking_for_usage(exchange.request_body.joined())
        if body is None:
            return None
        exchange.usage_injected = True
        return Amended(body, for_a_plain_answer(forward))

    def answer(self, status: int, header_map: dict[bytes, bytes]) -> UsageHider | None:
        """Only what calls itself a stream is looked at: whole answers and errors have no chunk to hide."""
        streamed = header_map.get(b"content-type", b"")[: len(_EVENT_STREAM)].lower() == _EVENT_STREAM
        if status != 200 or not streamed:
            return None
        if header_map.get(b"content-encoding", b"identity").lower() != b"identity":
            # Hiding an event in it would need decoding it, and encoding it anew: the client gets one event more.
            self._counters["usage_not_hidden"] += 1
            return None
        return UsageHider()
