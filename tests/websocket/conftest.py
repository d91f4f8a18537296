"""A gateway in this process, between a real client library and the built-in model or a raw server; its spans are kept."""

import asyncio
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from gateway.contracts import Processor
from gateway.demo.model import BuiltinModel
from gateway.model.exchange import Exchange
from gateway.model.span import Span
from gateway.pipeline import Pipeline
from gateway.policy.engine import PolicySet
from gateway.policy.load import Agent, read_agent
from gateway.processors.policy import PolicyConfig, PolicyProcessor
from gateway.processors.session import SessionConfig, SessionProcessor
from gateway.providers.built_in import formats, sockets
from gateway.providers.known import KnownMessageCache
from gateway.proxy.limits import Limits
from gateway.proxy.server import ProxyServer
from gateway.receivers.llm import LlmReceiver
from gateway.receivers.llm_config import LlmConfig
from gateway.state.memory import MemoryState
from tests.proxy.conftest import listening

CODEWORD = "nightjar"


class Kept:
    """An exporter that hands out what it got."""

    name = "kept"

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[Exchange, Span]] = asyncio.Queue()

    def export(self, exchange: Exchange, span: Span) -> None:
        self.queue.put_nowait((exchange, span))

    def export_tool(self, span: Span) -> None: ...

    async def start(self) -> None: ...

    async def drain(self, deadline_s: float) -> None: ...

    def counters(self) -> dict[str, int]:
        return {}


@dataclass
class Ended:
    """One exchange, as its span says it."""

    exchange: Exchange
    span: Span
    attributes: dict[str, Any]
    contents: dict[str, list[Any]]

    @property
    def said(self) -> list[str]:
        """The texts of the answer."""
        messages = self.contents.get("gen_ai.output.messages", [])
        return [part["content"] for message in messages for part in message["parts"] if part["type"] == "text"]

    @property
    def asked(self) -> list[str]:
        messages = self.contents.get("gen_ai.input.messages", [])
        return [part["content"] for message in messages for part in message["parts"] if part["type"] == "text"]


@dataclass
class Gateway:
    server: ProxyServer
    pipeline: Pipeline
    kept: Kept
    port: int

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/openai/v1"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}/openai/v1"

    async def ended(self) -> Ended:
        """The next exchange that is over."""
        async with asyncio.timeout(60):
            exchange, span = await self.kept.queue.get()
        attributes: dict[str, Any] = {}
        for part in span.parts:
            attributes.update(part.attributes if not isinstance(part, tuple) else [part])
        contents = {each.key: [json.loads(item) for item in each.items] for each in span.contents}
        return Ended(exchange, span, attributes, contents)

    async def settled(self) -> None:
        """Until nobody is connected any more."""
        async with asyncio.timeout(60):
            while self.server.connections:
                await asyncio.sleep(0)


MakeGateway = Callable[..., Awaitable[Gateway]]


def keeper() -> Agent:
    """An enforcer that blocks the codeword."""
    return read_agent(
        "keeper.yaml",
        b"agent: keeper\nrole: enforcer\ndirections: [inlet]\nintent: block\n"
        b"detect: {codenames: {keywords: [%b]}}\n" % CODEWORD.encode(),
    )


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """As the relay's tests: on both loops."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def make_gateway() -> AsyncIterator[MakeGateway]:
    made: list[Gateway] = []

    async def make(
        upstream: str,
        enforcing: bool = False,
        also: Sequence[Processor] = (),
        written: Any = None,
        tls: ssl.SSLContext | None = None,
        **changes: object,
    ) -> Gateway:
        kept = Kept()
        processors: list[Processor] = [
            SessionProcessor(SessionConfig(), MemoryState(), lambda exchange: pipeline.reading(exchange), b"secret")
        ]
        if enforcing:
            processors.append(PolicyProcessor(PolicyConfig(), PolicySet([keeper()], sensitive=())))
        pipeline = Pipeline([*processors, *also], [kept], {each.name: each for each in formats()}, KnownMessageCache())
        limits = dataclasses.replace(Limits(), **changes)  # type: ignore[arg-type]  # tests name fields of Limits
        provider = {"base_url": upstream} | (written or {})
        config = LlmConfig.model_validate({"providers": {"openai": provider}, "capture_max": limits.capture})
        receiver = LlmReceiver(config, pipeline, formats(), sockets=sockets())
        server = ProxyServer(receiver, limits)
        sock = listening()
        await server.listen(sock, tls)
        made.append(Gateway(server, pipeline, kept, sock.getsockname()[1]))
        return made[-1]

    yield make
    for gateway in made:
        await gateway.server.drain(0.5)
        gateway.pipeline.drain()
        assert not gateway.pipeline.failures


@pytest.fixture
async def model() -> AsyncIterator[BuiltinModel]:
    async with BuiltinModel() as model:
        yield model
