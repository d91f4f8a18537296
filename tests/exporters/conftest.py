"""An OTLP/HTTP server on loopback that answers what a test tells it to, and remembers what it took."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from gateway.model.exchange import Captured, Exchange
from gateway.model.span import Content, Span

Answer = Callable[[list[trace_pb2.Span]], web.Response]


def accept(spans: list[trace_pb2.Span]) -> web.Response:
    return web.Response(content_type="application/x-protobuf")


@dataclass
class Sink:
    """Answers `script` first, one a request, then `default`; a request that meets a stall waits for it."""

    default: Answer = accept
    script: deque[Answer] = field(default_factory=deque)
    stalls: deque[asyncio.Event] = field(default_factory=deque)
    requests: list[web.Request] = field(default_factory=list)
    spans: list[trace_pb2.Span] = field(default_factory=list)
    """Of the requests that got a 200."""
    port: int = 0
    runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def answers(self, answers: Iterable[Answer]) -> None:
        self.script.extend(answers)

    async def start(self) -> None:
        """Again on the same port, after a stop."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self.handle)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()

    async def handle(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())  # aiohttp undoes the gzip
        self.requests.append(request)
        if self.stalls:
            await self.stalls.popleft().wait()
        (resource_spans,) = message.resource_spans
        spans = list(resource_spans.scope_spans[0].spans)
        answer = (self.script.popleft() if self.script else self.default)(spans)
        if answer.status == 200:
            self.spans += spans
        return answer


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    await sink.start()
    yield sink
    await sink.stop()


@pytest.fixture
def exchange() -> Exchange:
    return Exchange("x", 1, "POST", "/", [], Captured(1), bytes(16), bytes(8))


@pytest.fixture
def new_span() -> Callable[[str, int], Span]:
    """A span of this name with so many bytes of content."""

    def make(name: str, content_bytes: int) -> Span:
        contents = [Content("gen_ai.input.messages", [b'"' + b"x" * content_bytes + b'"'])] if content_bytes else []
        return Span(name, 3, b"t" * 16, b"s" * 8, 1, 2, parts=[("session.id", "s")], contents=contents)

    return make
