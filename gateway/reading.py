"""What an exchange's bodies say: undone on the copy, within bounds, handed to the provider that understands them."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

from gateway.contracts import AsksInTarget, KnownMessages, Provider, ResponseReader
from gateway.model.exchange import NOT_UNDERSTOOD, Captured, Exchange
from gateway.model.message import RequestReading, ResponseReading
from gateway.providers.abundance import has_too_many_values
from gateway.providers.bedrock_headers import add_counts, add_guardrail
from gateway.providers.content import State, charset_known, decode
from gateway.providers.errors import error_type_in
from gateway.providers.histories import LEAST, Histories
from gateway.providers.request import unreadable_request

_LONG, _LONG_PACKED, _SLICE = 256 * 1024, 64 * 1024, 8 * 1024
"""Bytes of an answer: events as small as can be take 50 ms for 8 KiB at worst."""
_COMPLETE = frozenset({"finished", "upstream_error"})
"""Ends of an exchange whose answer is here, whole."""
_OF_NUMBERS = frozenset({"embeddings", "text_completion"})
"""Operations whose input may be tokens by number, or vectors."""


class Bodies:
    """Reads them for one pipeline. Raises what a provider's bug raises: nothing of it is the client's matter."""

    def __init__(self, providers: dict[str, Provider], known: KnownMessages, counters: Counter[str]) -> None:
        """`providers`: by wire format's name. Counts `requests_too_many_values`, `answers_cut`, `corrupt_frames`."""
        self._providers = providers
        self._asking_in_target = {name: each for name, each in providers.items() if isinstance(each, AsksInTarget)}
        self._known = known
        self._histories = Histories()
        self._counters = counters

    def request(self, exchange: Exchange) -> RequestReading | None:
        """None where there is nothing to read."""
        body = exchange.request_body
        if not body.size:
            asking = self._asking_in_target.get(exchange.api)
            return asking.read_target(exchange.target) if asking is not None else None
        provider = self.provider(exchange)
        raw, state = _decoded(body, exchange.header_map.get(b"content-encoding"))
        content_type = exchange.header_map.get(b"content-type", b"").decode("latin-1")
        # Unreadable is not empty: what cannot be decoded is assessed as the bytes it is.
        said = raw or body.joined()
        if len(said) < LEAST:
            reading = provider.read_request(said, self._known, exchange.target, content_type)
        else:
            read = partial(self._long_request, provider, exchange.target, content_type)
            reading = self._histories.read(provider.name, said, read)
        if state != "full":
            reading.state = state
        if not charset_known(content_type, said):
            reading.state = "unreadable"
        if exchange.api.startswith("bedrock_"):
            add_guardrail(reading, exchange.header_map)
        if exchange.connection is not None:
            reading.stream = True  # events are all that a WebSocket has
            if exchange.unsound and state == "full":
                reading.state = "unreadable"
        return reading

    def _long_request(self, provider: Provider, target: str, content_type: str, body: bytes) -> RequestReading:
        if has_too_many_values(body, numbers=provider.operation not in _OF_NUMBERS) and provider.name != NOT_UNDERSTOOD:
            self._counters["requests_too_many_values"] += 1
            return unreadable_request(body)
        return provider.read_request(body, self._known, target, content_type)

    def response(self, exchange: Exchange) -> ResponseReading | None:
        """None where no answer began."""
        if exchange.response_body is None:
            return None
        reader, raw, state = self._begun(exchange, exchange.response_body)
        if raw:
            reader.feed(raw)
        return self._ended(exchange, reader, state, exchange.end in _COMPLETE)

    def response_in_slices(self, exchange: Exchange, held: bool = False) -> Iterator[None]:
        """Sets `exchange.response`, a little of the body at a time: each of its events may cost more than its bytes.

        `held`: the exchange has not ended, because its client waits for what comes of this; the body is here, whole.
        """
        assert exchange.response_body is not None
        reader, raw, state = self._begun(exchange, exchange.response_body)
        for at in range(0, len(raw), _SLICE):
            reader.feed(raw[at : at + _SLICE])
            yield
        exchange.response = self._ended(exchange, reader, state, held or exchange.end in _COMPLETE)

    def other_request(self, exchange: Exchange, body: bytes) -> RequestReading:
        """As if this, not compressed, were the exchange's body."""
        content_type = exchange.header_map.get(b"content-type", b"").decode("latin-1")
        return self.provider(exchange).read_request(body, self._known, exchange.target, content_type)

    def other_answer(self, exchange: Exchange, body: bytes) -> ResponseReading:
        """As if this, not compressed, were the answer."""
        content_type = exchange.response_header_map.get(b"content-type", b"").decode("latin-1")
        reader = self.provider(exchange).response_reader(exchange.request, exchange.status, content_type)
        reader.feed(body)
        return reader.end(True)

    def provider(self, exchange: Exchange) -> Provider:
        """Whose wire format it is."""
        return self._providers[exchange.api or NOT_UNDERSTOOD]

    def _begun(self, exchange: Exchange, body: Captured) -> tuple[ResponseReader, bytes, State]:
        fields = exchange.response_header_map
        content_type = fields.get(b"content-type", b"").decode("latin-1")
        reader = self.provider(exchange).response_reader(exchange.request, exchange.status, content_type)
        raw, state = _decoded(body, fields.get(b"content-encoding"))
        return reader, raw, state

    def _ended(self, exchange: Exchange, reader: ResponseReader, state: State, complete: bool) -> ResponseReading:
        reading = reader.end(complete and state == "full")
        if reader.corrupt_frames:
            self._counters["corrupt_frames"] += reader.corrupt_frames
        if reader.cut:
            self._counters["answers_cut"] += 1
        if reading.error_type is None and exchange.status >= 400:
            reading.error_type = error_type_in(exchange.response_header_map)
        if state != "full":
            reading.state = state
        if exchange.api.startswith("bedrock_"):
            add_counts(reading, exchange.response_header_map)
        if exchange.error_type == "client_gone" and reading.state == "full" and exchange.status < 400:
            # It had the API's last word, and need not wait for HTTP's: Codex hangs up there.
            exchange.end, exchange.error_type = "finished", None
        return reading


def is_long(exchange: Exchange) -> bool:
    """Whether to understand its answer may take longer than calls should wait; packed it is likely a multiple."""
    body = exchange.response_body
    if body is None or body.kept <= _LONG_PACKED or exchange.response is not None:
        return False
    return body.kept > _LONG or b"content-encoding" in exchange.response_header_map


def _decoded(body: Captured, coding: bytes | None) -> tuple[bytes, State]:
    raw = body.joined()
    if coding is None:
        return raw, "truncated" if body.truncated else "full"
    decoded = decode(raw, coding.decode("latin-1"), body.limit)
    return decoded.data, "truncated" if body.truncated and decoded.state == "full" else decoded.state
