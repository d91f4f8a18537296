"""Processors and exporters that write down what they were asked, and fail on demand."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.contracts import Exporter, Processor
from gateway.model.exchange import Exchange, Refusal
from gateway.model.span import Span

REFUSAL = Refusal(403, "blocked_by_policy", "not here")


class Recorder(Processor):
    """Has every moment; writes `<name>.<moment>` into the log, and raises at the moment it is told to."""

    needs_reading = False

    def __init__(self, name: str, log: list[str], raises: str = "", refuses: bool = False) -> None:
        self._name = name
        self._log = log
        self._raises = raises
        self._refuses = refuses

    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        self._said("on_request")
        if self._refuses:
            exchange.refusal = REFUSAL
        return None

    def on_end(self, exchange: Exchange) -> None:
        self._said("on_end")

    def on_tail(self, exchange: Exchange) -> None:
        self._said("on_tail")

    def on_span(self, span: Span) -> Span | None:
        self._said("on_span")
        return span

    def _said(self, moment: str) -> None:
        self._log.append(f"{self._name}.{moment}")
        if moment == self._raises:
            raise RuntimeError("a bug")


class Waiting(Recorder):
    """As `Recorder`, but the request waits until it is let go."""

    def __init__(self, name: str, log: list[str], raises: str = "", refuses: bool = False) -> None:
        super().__init__(name, log, refuses=refuses)
        self.go = asyncio.Event()
        self._raises_after = bool(raises)

    def on_request(self, exchange: Exchange) -> Awaitable[None]:
        super().on_request(exchange)
        return self._wait()

    async def _wait(self) -> None:
        await self.go.wait()
        self._log.append(f"{self._name}.let go")
        if self._raises_after:
            raise RuntimeError("a bug")


class RequestOnly(Processor):
    """One moment, and it wants the request read."""

    needs_reading = True

    def on_request(self, exchange: Exchange) -> None:
        assert exchange.request is not None or not exchange.request_body.size


class SpanDoor(Processor):
    """Lets the span out as `decide` says."""

    needs_reading = False

    def __init__(self, decide: Callable[[Span], Span | None]) -> None:
        self._decide = decide

    def on_span(self, span: Span) -> Span | None:
        return self._decide(span)


class Collector(Exporter):
    def __init__(self, name: str = "collector", broken: bool = False) -> None:
        self.name = name
        self.exchanges: list[Exchange] = []
        self.spans: list[Span] = []
        self.tools: list[Span] = []
        self._broken = broken

    def export(self, exchange: Exchange, span: Span) -> None:
        if self._broken:
            raise OSError("disk full")
        self.exchanges.append(exchange)
        self.spans.append(span)

    def export_tool(self, span: Span) -> None:
        if self._broken:
            raise OSError("disk full")
        self.tools.append(span)

    async def start(self) -> None: ...

    async def drain(self, deadline_s: float) -> None: ...

    def counters(self) -> dict[str, int]:
        return {}
