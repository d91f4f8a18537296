"""Writes spans to the log, for people who try things out. Never writes content."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import structlog
from pydantic import Field

from gateway.model import semconv as sc
from gateway.model.exchange import Exchange
from gateway.model.span import STATUS_ERROR, Span
from gateway.units import ConfigModel, Duration

_NORMAL = (
    sc.SESSION_ID,
    sc.SPANGATE_OUTCOME,
    sc.GEN_AI_USAGE_INPUT_TOKENS,
    sc.GEN_AI_USAGE_OUTPUT_TOKENS,
    sc.HTTP_RESPONSE_STATUS_CODE,
    sc.ERROR_TYPE,
)


class DebugConfig(ConfigModel):
    verbosity: Literal["basic", "normal", "detailed"] = "basic"
    """One line an interval; one line a span; a span's attributes, without content."""
    interval: Duration = Field(default=10.0, gt=0)
    """Of `basic`. An interval without spans writes nothing."""


class DebugExporter:
    """Implements `Exporter`. `log` is structlog's; what it writes goes where the service's logs go, stderr."""

    def __init__(self, name: str, config: DebugConfig, log: Callable[..., Any] | None = None) -> None:
        self.name = name
        self._verbosity = config.verbosity
        self._interval_s = config.interval
        self._info: Callable[..., Any] = log or structlog.get_logger().bind(exporter=name).info
        self._spans = 0
        self._errors = 0
        self._said_spans = 0
        self._said_errors = 0
        self._failed = 0
        self._task: asyncio.Task[None] | None = None

    def export(self, exchange: Exchange, span: Span) -> None:
        self.export_tool(span)

    def export_tool(self, span: Span) -> None:
        self._spans += 1
        self._errors += span.status == STATUS_ERROR
        if self._verbosity == "basic":
            return
        try:
            self._info(span.name, duration_ms=round((span.end_ns - span.start_ns) / 1e6, 3), **self._details(span))
        except Exception:  # the boundary towards the pipeline: a closed stderr must not stop the tail; counted
            self._failed += 1

    async def start(self) -> None:
        if self._verbosity == "basic":
            self._task = asyncio.create_task(self._report(), name=f"{self.name}-report")

    async def drain(self, deadline_s: float) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            self._say()

    def counters(self) -> dict[str, int]:
        return {"accepted": self._spans, "sent": self._spans - self._failed, "failed": self._failed}

    def _details(self, span: Span) -> dict[str, object]:
        trace = span.trace_id.hex()
        if self._verbosity == "normal":
            attributes = dict(span.attributes)
            return {"trace": trace, **{key: attributes[key] for key in _NORMAL if key in attributes}}
        events = [{"name": event.body.name, **dict(event.body.attributes)} for event in span.events]
        return {"trace": trace, "attributes": dict(span.attributes), "events": events}

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self._say()

    def _say(self) -> None:
        """One line with what came since the last one."""
        spans, errors = self._spans - self._said_spans, self._errors - self._said_errors
        self._said_spans, self._said_errors = self._spans, self._errors
        if spans:
            self._info("spans", spans=spans, errors=errors)
