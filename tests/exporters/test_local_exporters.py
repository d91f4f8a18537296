"""nop measures, debug writes lines; neither shows content."""

from collections.abc import Callable
from typing import Any

from gateway.exporters.debug import DebugConfig, DebugExporter
from gateway.exporters.nop import NopConfig, NopExporter
from gateway.model.exchange import Exchange
from gateway.model.span import STATUS_ERROR, EventBody, Span, SpanEvent

NewSpan = Callable[[str, int], Span]


class Lines:
    """A log that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **details: Any) -> None:
        self.lines.append((event, details))


def test_nop_builds_spans_with_their_content(exchange: Exchange, new_span: NewSpan) -> None:
    exporter = NopExporter("nop", NopConfig(), {})
    exporter.export(exchange, new_span("a", 1000))
    counters = exporter.counters()
    assert counters["accepted"] == 1
    assert counters["bytes"] > 1000


async def test_basic_writes_one_line_with_counts(exchange: Exchange, new_span: NewSpan) -> None:
    log = Lines()
    exporter = DebugExporter("debug", DebugConfig(), log)
    await exporter.start()
    broken = new_span("b", 0)
    broken.status = STATUS_ERROR
    for span in (new_span("a", 0), broken):
        exporter.export(exchange, span)
    await exporter.drain(1)
    assert log.lines == [("spans", {"spans": 2, "errors": 1})]


async def test_basic_is_silent_where_nothing_happened() -> None:
    log = Lines()
    exporter = DebugExporter("debug", DebugConfig(), log)
    await exporter.start()
    await exporter.drain(1)
    assert log.lines == []


def test_normal_writes_one_line_a_span(exchange: Exchange, new_span: NewSpan) -> None:
    log = Lines()
    exporter = DebugExporter("debug", DebugConfig(verbosity="normal"), log)
    exporter.export(exchange, new_span("chat gpt", 50))
    ((event, details),) = log.lines
    assert event == "chat gpt"
    assert details["session.id"] == "s"
    assert "xxxx" not in str(log.lines)


def test_detailed_writes_attributes_and_events_but_no_content(exchange: Exchange, new_span: NewSpan) -> None:
    log = Lines()
    exporter = DebugExporter("debug", DebugConfig(verbosity="detailed"), log)
    span = new_span("chat", 50)
    span.events.append(SpanEvent(1, EventBody("gen_ai.evaluation.result", (("gen_ai.evaluation.name", "agent"),))))
    exporter.export(exchange, span)
    details = log.lines[0][1]
    assert details["attributes"] == {"session.id": "s"}
    assert details["events"] == [{"name": "gen_ai.evaluation.result", "gen_ai.evaluation.name": "agent"}]
    assert "xxxx" not in str(log.lines)


def test_a_log_that_fails_is_counted_and_stops_nothing(exchange: Exchange, new_span: NewSpan) -> None:
    def broken(event: str, **details: Any) -> None:
        raise OSError("stderr is gone")

    exporter = DebugExporter("debug", DebugConfig(verbosity="normal"), broken)
    exporter.export(exchange, new_span("a", 0))
    assert exporter.counters() == {"accepted": 1, "sent": 0, "failed": 1}
