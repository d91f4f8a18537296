"""An OTLP/HTTP store on loopback: what the gateway really exports, found by its exchange."""

import asyncio
import json
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

ARRIVES_S = 60.0


class SpanSink:
    """`config` is for a gateway that sends its spans here, whole."""

    def __init__(self) -> None:
        self._spans: dict[tuple[str, int], Span] = {}
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.config: dict[str, Any] = {}

    async def span(self, exchange_id: str, kind: Span.SpanKind.ValueType = Span.SPAN_KIND_CLIENT) -> Span:
        """The exchange's span, once it is here; of another kind: that of a tool whose result it brought."""
        async with asyncio.timeout(ARRIVES_S), self._arrived:
            await self._arrived.wait_for(lambda: (exchange_id, kind) in self._spans)
            return self._spans[exchange_id, kind]

    async def spans(self, count: int, kind: Span.SpanKind.ValueType = Span.SPAN_KIND_CLIENT) -> list[Span]:
        """All of that kind in the order in which they began, once there are at least `count`."""
        async with asyncio.timeout(ARRIVES_S), self._arrived:
            await self._arrived.wait_for(lambda: sum(each == kind for _, each in self._spans) >= count)
            spans = [span for span in self._spans.values() if span.kind == kind]
        return sorted(spans, key=lambda span: span.start_time_unix_nano)

    def took(self, message: ExportTraceServiceRequest) -> None:
        """For who wants to know more of it."""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        queue = {"batch": {"flush_timeout": "10ms"}}
        exporter = {"endpoint": f"http://127.0.0.1:{port}", "capture": {"messages": "full"}, "sending_queue": queue}
        self.config = {
            "exporters": {"otlp_http": exporter},
            "service": {"pipelines": {"traces": {"exporters": ["store", "otlp_http"]}}},
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def of_session(self, session_id: str, count: int, *, tools: bool = False) -> list[dict[str, Any]]:
        """What the spans of its exchanges say, or those of their tools, as they began, once there are `count`."""
        kind = Span.SPAN_KIND_INTERNAL if tools else Span.SPAN_KIND_CLIENT

        def here() -> list[Span]:
            spans = [span for span in self._spans.values() if span.kind == kind]
            return [span for span in spans if _session_of(span) == session_id]

        async with asyncio.timeout(ARRIVES_S), self._arrived:
            await self._arrived.wait_for(lambda: len(here()) >= count)
            return [attributes_of(span) for span in sorted(here(), key=lambda span: span.start_time_unix_nano)]

    async def _take(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        self.took(message)
        async with self._arrived:
            for resource in message.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self._spans[attributes_of(span)["spangate.exchange.id"], span.kind] = span
            self._arrived.notify_all()
        return web.Response(content_type="application/x-protobuf")


def attributes_of(span: Span) -> dict[str, Any]:
    """By name; messages as what their JSON says."""
    attributes = {attribute.key: _value(attribute.value) for attribute in span.attributes}
    for key in (
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
    ):
        if key in attributes:
            attributes[key] = json.loads(attributes[key])
    return attributes


def _session_of(span: Span) -> str:
    """ "" for what was refused before anyone asked whose it is."""
    return str(attributes_of(span).get("session.id", ""))


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, str(kind))
