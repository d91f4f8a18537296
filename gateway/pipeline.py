"""Runs processors at each moment of an exchange; the tail reads what was captured, makes the span and fans it out.

An exception of a processor never reaches the client: it is counted, and the exchange goes on without that processor
(the policy processor has its own answer to its agents' failures).
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice

import structlog

from gateway.contracts import Exporter, Gate, KnownMessages, Processor, Provider
from gateway.model.exchange import Exchange
from gateway.model.message import RequestReading
from gateway.model.span import Span
from gateway.reading import Bodies, is_long
from gateway.telemetry.spans import span_of
from gateway.telemetry.tool_spans import ToolSpans

_log = structlog.get_logger("gateway.pipeline")

TAIL_DELAY_S = 0.001
"""How long the tail waits for company: the client's next request, which comes right behind an answer, goes first."""
TAIL_TOGETHER, TAIL_BYTES_TOGETHER = 16, 64 * 1024
"""Exchanges at most, as long as the tail keeps up, before the loop may relay again: half a millisecond's worth."""
TAIL_AT_MOST = 10 * TAIL_TOGETHER
"""However many there are: calls wait as long."""


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
        self._exporters = exporters
        self._processors = processors
        self.look_again()
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
        self._bodies = Bodies(providers, known, self.counters)
        self._reads = _Reads(self, self._bodies)

    def look_again(self) -> None:
        """At what the processors need: it may have changed."""
        self.reads_answers = any(processor.needs_answer for processor in self._processors)
        """Whether an answer must be read before the client gets it."""
        self._gating = [processor for processor in self._processors if processor.gates]
        self.gates = bool(self._gating)
        """Whether an exchange may have a gate."""

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
                    self.try_reading(exchange)
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
            exchange.request = self._bodies.request(exchange)
        return exchange.request

    def try_reading(self, exchange: Exchange) -> None:
        """As `reading`; a failure of ours leaves `exchange.request` None: who needs it decides what that means."""
        try:
            self.reading(exchange)
        except Exception as error:
            self.unread(exchange, error)

    def unread(self, exchange: Exchange, error: Exception) -> None:
        self.failures["reading"] += 1
        _log.error("reading an exchange failed", exchange=exchange.id, error=type(error).__name__)

    def gate(self, exchange: Exchange) -> Gate | None:
        """What its answer has to pass."""
        for processor in self._gating:
            gate = processor.gate(exchange, self._reads)
            if gate is not None:
                return gate
        return None

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

    def answered(self, exchange: Exchange, at_most: int) -> list[Exchange]:
        """Who waits among the tail's newest of the same principal, read; oldest first. Long answers take too long."""
        newest = [ended for ended, _ in islice(reversed(self._tail), at_most)]
        same = [ended for ended in newest if ended.principal == exchange.principal and not is_long(ended)][::-1]
        for ended in same:
            self._read(ended)
        return same

    # Afterwards

    def _work_tail(self) -> None:
        """Finish some exchanges, then let the loop relay: few where there are few, a share where they pile up."""
        waiting = len(self._tail)
        if not waiting:
            pass  # drained in the meantime
        elif is_long(self._tail[0][0]):
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
                self.try_reading(exchange)
                self._long = self._bodies.response_in_slices(exchange)
            if next(self._long, _OVER) is not _OVER:
                return
        except Exception as error:  # as in `_finish_next`
            self.unread(exchange, error)
        self._long = None
        self._tail.popleft()
        self._tail_bytes -= size
        self._finish([exchange])

    def _finish_next(self, count: int, at_least: int) -> None:
        """Stage by stage: the same code for each of them in turn takes a sixth less than each of them whole."""
        exchanges: list[Exchange] = []
        room = TAIL_BYTES_TOGETHER
        while self._tail and not (exchanges and is_long(self._tail[0][0])):
            exchange, size = self._tail.popleft()
            self._tail_bytes -= size
            exchanges.append(exchange)
            room -= size
            if len(exchanges) >= at_least and (len(exchanges) >= count or room <= 0):
                break
        for exchange in exchanges:
            self._read(exchange)
        self._finish(exchanges)

    def _read(self, exchange: Exchange) -> None:
        self.try_reading(exchange)
        if exchange.response is not None:
            return
        try:
            exchange.response = self._bodies.response(exchange)
        except Exception as error:  # unreadable is a fact about the exchange, never a reason to lose its span
            self.unread(exchange, error)

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


class _Reads:
    """Implements `Reads`."""

    def __init__(self, pipeline: Pipeline, bodies: Bodies) -> None:
        self._pipeline = pipeline
        self.provider = bodies.provider
        self.other_request = bodies.other_request
        self.other_answer = bodies.other_answer
        self._in_slices = bodies.response_in_slices

    def answer(self, exchange: Exchange) -> Iterator[None]:
        self._pipeline.try_reading(exchange)
        try:
            yield from self._in_slices(exchange, held=True)
        except Exception as error:  # as in `_read`
            self._pipeline.unread(exchange, error)


def _implements(processor: Processor, moment: str) -> bool:
    """Whether it has this moment beyond the protocol's own empty one: nobody pays for the others."""
    method: Callable[..., object] | None = getattr(type(processor), moment, None)
    return method is not None and method is not getattr(Processor, moment)
