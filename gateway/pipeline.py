"""Runs processors at each moment of an exchange; the tail reads what was captured, makes the span and fans it out.

An exception of a processor never reaches the client: it is counted, and the exchange goes on without that processor
(the policy processor has its own answer to its agents' failures).
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence

import structlog

from gateway.contracts import AsksInTarget, Exporter, KnownMessages, Processor, Provider, ResponseReader
from gateway.model.exchange import Captured, Exchange
from gateway.model.message import RequestReading, ResponseReading
from gateway.model.span import Span
from gateway.providers.abundance import has_too_many_values
from gateway.providers.bedrock_headers import add_counts, add_guardrail
from gateway.providers.content import State, charset_known, decode
from gateway.providers.errors import error_type_in
from gateway.providers.reader import BodyReader
from gateway.providers.request import unreadable_request
from gateway.telemetry.spans import span_of
from gateway.telemetry.tool_spans import ToolSpans

_log = structlog.get_logger("gateway.pipeline")

TAIL_DELAY_S = 0.001
"""How long the tail waits for company: the client's next request, which comes right behind an answer, goes first."""
TAIL_TOGETHER, TAIL_BYTES_TOGETHER = 16, 64 * 1024
"""Exchanges at most, as long as the tail keeps up, before the loop may relay again: half a millisecond's worth."""
TAIL_AT_MOST = 10 * TAIL_TOGETHER
"""However many there are: calls wait as long."""


_LONG, _LONG_PACKED, _SLICE = 256 * 1024, 64 * 1024, 8 * 1024
"""Bytes of an answer: events as small as can be take 50 ms for 8 KiB at worst."""
_OVER = object()


class Pipeline:
    """One worker's pipeline. Everything runs on its loop; nothing in here blocks it."""

    def __init__(
        self,
        processors: Sequence[Processor],
        exporters: Sequence[Exporter],
        providers: dict[str, Provider],
        known: KnownMessages,
        tail_limit_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        """`providers`: by wire format's name."""
        self._providers = providers
        self._asking_in_target = {name: each for name, each in providers.items() if isinstance(each, AsksInTarget)}
        self._known = known
        self._exporters = exporters
        self.reads_answers = any(processor.needs_answer for processor in processors)
        """Whether an answer must be read before the client gets it."""
        self._on_request = [p for p in processors if _implements(p, "on_request")]
        self._on_end = [p for p in processors if _implements(p, "on_end")]
        self._on_tail = [p for p in processors if _implements(p, "on_tail")]
        self._on_span = [p for p in processors if _implements(p, "on_span")]
        self._tail: deque[tuple[Exchange, int]] = deque()
        self._tail_bytes = 0
        self._tail_limit = tail_limit_bytes
        self._draining_tail = False
        self._long: Iterator[None] | None = None
        """The first in the tail, being read in slices."""
        self.failures: Counter[str] = Counter()
        """By `<processor>.<moment>`."""
        self._tools = ToolSpans()
        self.counters: Counter[str] = self._tools.counters

    @property
    def reads_inline(self) -> bool:
        """Whether a request must be read before it may go upstream."""
        return any(processor.needs_reading for processor in self._on_request)

    # While it happens

    def ready(self, exchange: Exchange) -> Awaitable[None] | None:
        """The request is here: let each processor see it, in order, until one refuses."""
        return self._run(exchange, 0)

    def _run(self, exchange: Exchange, start: int) -> Awaitable[None] | None:
        processors = self._on_request
        for index in range(start, len(processors)):
            processor = processors[index]
            try:
                if processor.needs_reading and exchange.request is None:
                    self._try_reading(exchange)
                waiting = processor.on_request(exchange)
            except Exception as error:  # a processor's bug must not stop traffic
                self._failed(processor, "on_request", error)
                continue
            if waiting is not None:
                return self._wait(exchange, processor, waiting, index + 1)
            if exchange.refusal is not None:
                return None
        return None

    async def _wait(self, exchange: Exchange, processor: Processor, waiting: Awaitable[None], following: int) -> None:
        try:
            await waiting
        except Exception as error:  # as above
            self._failed(processor, "on_request", error)
        if exchange.refusal is None:
            rest = self._run(exchange, following)
            if rest is not None:
                await rest

    def reading(self, exchange: Exchange) -> RequestReading | None:
        """What the request says; read once, when somebody first needs it."""
        if exchange.request is None:
            if exchange.request_body.size:
                exchange.request = self._read_request(exchange)
            elif (provider := self._asking_in_target.get(exchange.api)) is not None:
                exchange.request = provider.read_target(exchange.target)
        return exchange.request

    def _try_reading(self, exchange: Exchange) -> None:
        """As `reading`; a failure of ours leaves `exchange.request` None: who needs it decides what that means."""
        try:
            self.reading(exchange)
        except Exception as error:
            self._unread(exchange, error)

    def _unread(self, exchange: Exchange, error: Exception) -> None:
        self.failures["reading"] += 1
        _log.error("reading an exchange failed", exchange=exchange.id, error=type(error).__name__)

    def _read_request(self, exchange: Exchange) -> RequestReading:
        provider = self._providers[exchange.api or "generic"]
        body = exchange.request_body
        raw, state = _decoded(body, exchange.header_map.get(b"content-encoding"))
        # Unreadable is not empty: what cannot be decoded is assessed as the bytes it is.
        content_type = exchange.header_map.get(b"content-type", b"").decode("latin-1")
        body_bytes = raw or body.joined()
        # Vectors cost their bytes, however many numbers they are, and so does what is not taken apart.
        vectors = provider.operation == "embeddings"
        if provider.name != "generic" and has_too_many_values(body_bytes, numbers=not vectors):
            self.counters["requests_too_many_values"] += 1
            reading = unreadable_request(body_bytes)
        else:
            reading = provider.read_request(body_bytes, self._known, exchange.target, content_type)
        if state != "full":
            reading.state = state
        if not charset_known(content_type):
            reading.state = "unreadable"
        if exchange.api.startswith("bedrock_"):
            add_guardrail(reading, exchange.header_map)
        if exchange.connection is not None:
            reading.stream = True  # events are all that a WebSocket has
        return reading

    def end(self, exchange: Exchange) -> None:
        """It is over: quick work now, the rest on the tail."""
        self.counters["exchanges"] += 1
        for processor in self._on_end:
            try:
                processor.on_end(exchange)
            except Exception as error:
                self._failed(processor, "on_end", error)
        size = 2000 + exchange.request_body.kept + (exchange.response_body.kept if exchange.response_body else 0)
        if self._tail_bytes + size > self._tail_limit:
            self.counters["tail_dropped"] += 1
            return
        self._tail.append((exchange, size))
        self._tail_bytes += size
        if not self._draining_tail:
            self._draining_tail = True
            asyncio.get_running_loop().call_later(TAIL_DELAY_S, self._work_tail)

    # Afterwards

    def _work_tail(self) -> None:
        """Finish some exchanges, then let the loop relay: few where there are few, a share where they pile up."""
        waiting = len(self._tail)
        if not waiting:
            pass  # drained in the meantime
        elif _is_long(self._tail[0][0]):
            self._read_on()
        else:
            self._finish_next(min(waiting // 2, TAIL_TOGETHER), at_least=min(waiting // TAIL_TOGETHER, TAIL_AT_MOST))
        if self._tail:
            asyncio.get_running_loop().call_soon(self._work_tail)
        else:
            self._draining_tail = False

    def _read_on(self) -> None:
        """A long answer comes first: understand a little more of it. What is behind it waits, so that order stays."""
        exchange, size = self._tail[0]
        try:
            if self._long is None:
                self._try_reading(exchange)
                self._long = self._read_in_slices(exchange)
            if next(self._long, _OVER) is not _OVER:
                return
        except Exception as error:  # as in `_finish_next`
            self._unread(exchange, error)
        self._long = None
        self._tail.popleft()
        self._tail_bytes -= size
        self._finish([exchange])

    def _finish_next(self, count: int, at_least: int) -> None:
        """Stage by stage: the same code for each of them in turn takes a sixth less than each of them whole."""
        exchanges: list[Exchange] = []
        room = TAIL_BYTES_TOGETHER
        while self._tail and not (exchanges and _is_long(self._tail[0][0])):
            exchange, size = self._tail.popleft()
            self._tail_bytes -= size
            exchanges.append(exchange)
            room -= size
            if len(exchanges) >= at_least and (len(exchanges) >= count or room <= 0):
                break
        for exchange in exchanges:
            self._try_reading(exchange)
            try:
                exchange.response = self._read_response(exchange)
            except Exception as error:  # unreadable is a fact about the exchange, never a reason to lose its span
                self._unread(exchange, error)
        self._finish(exchanges)

    def _finish(self, exchanges: Sequence[Exchange]) -> None:
        """They were read."""
        for processor in self._on_tail:
            for exchange in exchanges:
                try:
                    processor.on_tail(exchange)
                except Exception as error:
                    self._failed(processor, "on_tail", error)
        self.counters["finished"] += len(exchanges)
        if self._exporters:
            self._export([(exchange, span) for exchange in exchanges if (span := self._span(exchange)) is not None])
            self._export_tools(exchanges)

    def _span(self, exchange: Exchange) -> Span | None:
        try:
            return self._leaving(span_of(exchange))
        except Exception as error:  # a broken redactor must not leak: the span stays in
            self._kept_in(exchange, error)
            return None

    def _kept_in(self, exchange: Exchange, error: Exception) -> None:
        self.failures["span"] += 1
        _log.error("building a span failed; it is kept in", exchange=exchange.id, error=type(error).__name__)

    def _export_tools(self, exchanges: Sequence[Exchange]) -> None:
        for exchange in exchanges:
            try:
                spans = [leaving for span in self._tools.of(exchange) if (leaving := self._leaving(span)) is not None]
            except Exception as error:  # as above
                self._kept_in(exchange, error)
                continue
            for exporter in self._exporters if spans else ():
                for span in spans:
                    try:
                        exporter.export_tool(span)
                    except Exception as error:
                        self._export_failed(exporter, error)

    def _export(self, spans: Sequence[tuple[Exchange, Span]]) -> None:
        for exporter in self._exporters:
            for exchange, span in spans:
                try:
                    exporter.export(exchange, span)
                except Exception as error:
                    self._export_failed(exporter, error)

    def _export_failed(self, exporter: Exporter, error: Exception) -> None:
        self.failures[f"{exporter.name}.export"] += 1
        _log.error("an exporter failed", exporter=exporter.name, error=type(error).__name__)

    def _read_response(self, exchange: Exchange) -> ResponseReading | None:
        body = exchange.response_body
        if body is None:
            return None
        fields = exchange.response_header_map
        provider = self._providers[exchange.api or "generic"]
        content_type = fields.get(b"content-type", b"").decode("latin-1")
        reader = provider.response_reader(exchange.request, exchange.status, content_type)
        raw, state = _decoded(body, fields.get(b"content-encoding"))
        if raw:
            reader.feed(raw)
        return self._read_to_the_end(exchange, reader, state)

    def _read_in_slices(self, exchange: Exchange) -> Iterator[None]:
        """As `_read_response`, for a body of which each event may cost more than its bytes."""
        body = exchange.response_body
        assert body is not None
        fields = exchange.response_header_map
        provider = self._providers[exchange.api or "generic"]
        content_type = fields.get(b"content-type", b"").decode("latin-1")
        reader = provider.response_reader(exchange.request, exchange.status, content_type)
        raw, state = _decoded(body, fields.get(b"content-encoding"))
        for at in range(0, len(raw), _SLICE):
            reader.feed(raw[at : at + _SLICE])
            yield
        exchange.response = self._read_to_the_end(exchange, reader, state)

    def _read_to_the_end(self, exchange: Exchange, reader: ResponseReader, state: State) -> ResponseReading:
        fields = exchange.response_header_map
        complete = exchange.end in ("finished", "upstream_error") and state == "full"
        reading = reader.end(complete)
        if reading.state != "full" and isinstance(reader, BodyReader) and reader.corrupt_frames:
            self.counters["corrupt_frames"] += reader.corrupt_frames
        if reading.error_type is None and exchange.status >= 400:
            reading.error_type = error_type_in(fields)
        if state != "full":
            reading.state = state
        if reader.cut:
            self.counters["answers_cut"] += 1
        if exchange.api.startswith("bedrock_"):
            add_counts(reading, fields)
        if exchange.error_type == "client_gone" and reading.state == "full" and exchange.status < 400:
            # It had the API's last word, and need not wait for HTTP's: Codex hangs up there.
            exchange.end, exchange.error_type = "finished", None
        return reading

    def _leaving(self, span: Span) -> Span | None:
        leaving: Span | None = span
        for processor in self._on_span:
            if leaving is None:
                return None
            leaving = processor.on_span(leaving)
        return leaving

    def counted(self, what: str) -> None:
        """Something happened that is worth a number, but no span."""
        self.counters[what] += 1

    def drain(self) -> None:
        """Finish all that is in the tail, now: the gateway stops."""
        while self._tail:
            if self._long is not None:
                self._read_on()
                continue
            self._finish_next(TAIL_TOGETHER, at_least=1)

    @property
    def tail_length(self) -> int:
        return len(self._tail)

    def _failed(self, processor: Processor, moment: str, error: Exception) -> None:
        name = f"{type(processor).__name__}.{moment}"
        self.failures[name] += 1
        _log.error("a processor failed; the exchange goes on", where=name, error=type(error).__name__)


def _is_long(exchange: Exchange) -> bool:
    """Whether to understand its answer may take longer than calls should wait; packed it is likely a multiple."""
    body = exchange.response_body
    if body is None or body.kept <= _LONG_PACKED:
        return False
    return body.kept > _LONG or b"content-encoding" in exchange.response_header_map


def _decoded(body: Captured, coding: bytes | None) -> tuple[bytes, State]:
    raw = body.joined()
    if coding is None:
        return raw, "truncated" if body.truncated else "full"
    decoded = decode(raw, coding.decode("latin-1"), body.limit)
    return decoded.data, "truncated" if body.truncated and decoded.state == "full" else decoded.state


def _implements(processor: Processor, moment: str) -> bool:
    """Whether it has this moment beyond the protocol's own empty one: nobody pays for the others."""
    method: Callable[..., object] | None = getattr(type(processor), moment, None)
    return method is not None and method is not getattr(Processor, moment)
