"""The receiver as it runs: behind the real relay, in front of a raw upstream, with a pipeline that keeps what it made."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.contracts import Processor
from gateway.model.exchange import Exchange
from gateway.model.span import Span
from gateway.pipeline import Pipeline
from gateway.providers.built_in import formats, sockets
from gateway.providers.known import KnownMessageCache
from gateway.proxy.limits import Limits
from gateway.proxy.server import ProxyServer
from gateway.receivers.llm import LlmReceiver
from gateway.receivers.llm_config import LlmConfig
from gateway.telemetry.capture import Capture
from gateway.telemetry.encode import content_attributes, encode
from tests.proxy.conftest import Upstream, Wire, listening


class Kept:
    """An exporter that keeps what it is given."""

    name = "kept"

    def __init__(self) -> None:
        self.finished: asyncio.Queue[tuple[Exchange, Span]] = asyncio.Queue()

    def export(self, exchange: Exchange, span: Span) -> None:
        self.finished.put_nowait((exchange, span))

    def export_tool(self, span: Span) -> None: ...

    async def start(self) -> None: ...

    async def drain(self, deadline_s: float) -> None: ...

    def counters(self) -> dict[str, int]:
        return {}


@dataclass
class Relaying:
    upstream: Upstream
    kept: Kept
    wire: Wire
    pipeline: Pipeline

    async def call(self, request: bytes) -> tuple[bytes, bytes]:
        """What went upstream for this request, and the head of the answer."""
        await self.wire.send(request)
        head, _ = await self.wire.answer()
        return (self.upstream.requests[-1] if self.upstream.requests else b""), head

    async def finished(self) -> tuple[Exchange, bytes]:
        """The exchange, and its span as it would leave, content and all."""
        async with asyncio.timeout(60):
            exchange, span = await self.kept.finished.get()
        return exchange, encode(span) + content_attributes(span, Capture("full", 1 << 20))


@asynccontextmanager
async def relaying(
    providers: dict[str, dict[str, Any]],
    processors: Sequence[Processor] = (),
    body_max: int = Limits().body,
    ping_s: float = Limits().ping_s,
    **written: Any,
) -> AsyncIterator[Relaying]:
    """Every provider's `base_url` is the raw upstream's. `written`: of the receiver's configuration, by name."""
    upstream = Upstream()
    upstream.answers(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    listener = await asyncio.start_server(upstream.handle, "127.0.0.1", 0, limit=1 << 24)
    base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    config = LlmConfig.model_validate(
        {
            "providers": {name: {"base_url": base_url} | provider for name, provider in providers.items()},
            "default_provider": next(iter(providers)),
        }
        | written
    )
    kept, known = Kept(), formats()
    pipeline = Pipeline(processors, [kept], {each.name: each for each in known}, KnownMessageCache())
    limits = Limits(capture=config.capture_max, body=body_max, linger_s=60, ping_s=ping_s)
    server = ProxyServer(LlmReceiver(config, pipeline, known, sockets=sockets()), limits)
    sock = listening()
    await server.listen(sock)
    wire = Wire(*await asyncio.open_connection(*sock.getsockname(), limit=1 << 24))
    try:
        yield Relaying(upstream, kept, wire, pipeline)
    finally:
        wire.abort()
        await server.drain(0.5)
        listener.close()
