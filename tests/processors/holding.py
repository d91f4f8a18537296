"""The gateway with policy agents, and an upstream that says when it goes on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.model.exchange import Exchange
from gateway.policy.engine import PolicySet
from gateway.policy.load import read_agent
from gateway.processors.policy import PolicyConfig, PolicyProcessor
from tests.proxy.conftest import read_request
from tests.receivers.relaying import Relaying, relaying

PROVIDERS: dict[str, dict[str, Any]] = {
    **{name: {"api": name} for name in ("openai", "anthropic", "gemini", "ollama")},
    "bedrock": {"api": "bedrock", "api_key": "key"},
}
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def policy(*agents: str, kind: type[PolicySet] = PolicySet, **config: object) -> PolicyProcessor:
    """`agents`: YAML, without what all of them have."""
    read = [
        read_agent(f"keeper{number}.yaml", f"agent: keeper{number}\nrole: enforcer\n{written}".encode())
        for number, written in enumerate(agents)
    ]
    checked = PolicyConfig.model_validate(config)
    return PolicyProcessor(checked, kind(read, checked.on_error, checked.timeout, sensitive=()))


def keeper(response: str, intent: str = "block", more: str = "") -> str:
    return (
        f"directions: [response]\nresponse: {response}\nintent: {intent}\n{more}"
        "detect: {codenames: {keywords: [nightjar, black swan]}, keys: {patterns: ['key-[a-z0-9]{8,}']}}\n"
    )


def whole(body: bytes, head: bytes = JSON) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def post(
    path: str = "/openai/v1/chat/completions", body: bytes = b'{"model":"m","messages":[]}', more: bytes = b""
) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: gw\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + more + b"\r\n" + body


@dataclass
class Talking:
    """Each `say` goes out as it is; None: the upstream hangs up."""

    gateway: Relaying
    said: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, *pieces: bytes | None) -> None:
        for piece in pieces:
            self.said.put_nowait(piece)

    async def finished(self) -> tuple[Exchange, bytes]:
        async with asyncio.timeout(60):
            return await self.gateway.finished()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.gateway.upstream.requests.append(await read_request(reader))
            self.asked.set()
            saying = asyncio.ensure_future(self._say(writer))
            gone = asyncio.ensure_future(reader.read(1))
            done, _ = await asyncio.wait((saying, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone in done:
                self.hung_up.set()
                saying.cancel()
                return
            gone.cancel()
            if saying.result():
                return

    async def _say(self, writer: asyncio.StreamWriter) -> bool:
        while True:
            piece = await self.said.get()
            if piece is None:
                return True
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def talking(
    processor: PolicyProcessor, providers: dict[str, dict[str, Any]] = PROVIDERS, **written: Any
) -> AsyncIterator[Talking]:
    async with relaying(providers, [processor], **written) as gateway:
        made = Talking(gateway)
        gateway.upstream.serve = made._serve
        yield made


def outcomes(exchange: Exchange) -> Sequence[tuple[str, str, str, str]]:
    return [(each.direction, each.intent, each.outcome, each.state) for each in exchange.verdict.assessments]
