"""What holding a stream window by window costs: `python -m bench.streaming`. Against the same unheld.

One process, one loop: an upstream that says 64 events 20 ms apart, the gateway as it runs, and a client that notes when
each event came. An event is late by how long after the latest one that the upstream had said by then it came: what it
waited for more text is the window, not this.
"""

import asyncio
import socket
import statistics
import time
from collections.abc import Sequence
from itertools import chain

import uvloop

from gateway.contracts import Processor
from gateway.pipeline import Pipeline
from gateway.policy.engine import PolicySet
from gateway.policy.load import read_agent
from gateway.policy.streaming import WINDOW
from gateway.processors.policy import PolicyConfig, PolicyProcessor
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache
from gateway.proxy.limits import Limits
from gateway.proxy.server import ProxyServer
from gateway.receivers.llm import LlmReceiver
from gateway.receivers.llm_config import LlmConfig

EVENTS, PACE_S, STREAMS = 64, 0.02, 8
_WORDS = "eight more words of an answer, or nine "
_AGENT = b"""agent: keeper
role: enforcer
directions: [response]
response: window
intent: block
detect: {credentials: {secrets: all}, financial: {entities: [credit_card, iban]}, personal: {entities: [email]}}
"""
_REQUEST = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"go on"}]}'


def _event(number: int) -> bytes:
    said = b'{"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%b"}}]}'
    return b"data: " + said % f"{number} {_WORDS}".encode() + b"\n\n"


class Upstream:
    def __init__(self) -> None:
        self.said: list[float] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(_REQUEST))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for number in range(EVENTS):
            await asyncio.sleep(PACE_S)
            self.said.append(time.perf_counter())
            writer.write(_event(number))
        writer.close()


async def _stream(processors: Sequence[Processor]) -> list[float]:
    """Seconds: how late each read was."""
    upstream = Upstream()
    listener = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    config = LlmConfig.model_validate({"providers": {"openai": {"base_url": base_url}}, "default_provider": "openai"})
    known = formats()
    pipeline = Pipeline(processors, [], {each.name: each for each in known}, KnownMessageCache())
    server = ProxyServer(LlmReceiver(config, pipeline, known), Limits())
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    await server.listen(sock)
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    head = b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n" % len(_REQUEST)
    writer.write(head + _REQUEST)
    late: list[float] = []
    while data := await reader.read(1 << 20):
        now = time.perf_counter()
        if b"data: " in data:
            late.append(now - upstream.said[-1])
        if data.endswith(b"0\r\n\r\n"):
            break
    writer.close()
    await server.drain(1.0)
    listener.close()
    return late


def _held() -> list[Processor]:
    return [PolicyProcessor(PolicyConfig(), PolicySet([read_agent("keeper.yaml", _AGENT)]))]


async def _measured() -> dict[str, list[list[float]]]:
    """How late the reads of each stream were."""
    ways: dict[str, list[Processor]] = {"unheld": [], "window": _held()}
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for number in range(1 + STREAMS):
        for name, processors in ways.items():
            late = await _stream(processors)
            if number:  # what is there only after its first use was used
                found[name].append(late)
    return found


def main() -> None:
    found = uvloop.run(_measured())
    print(f"{STREAMS} streams each of {EVENTS} events, {PACE_S * 1000:g} ms apart; a window is {WINDOW} characters")
    firsts = {name: statistics.median(late[0] for late in lates) * 1e6 for name, lates in found.items()}
    p99s = {name: statistics.quantiles([*chain(*lates)], n=100)[98] * 1e6 for name, lates in found.items()}
    for name, lates in found.items():
        p50 = statistics.median([*chain(*lates)]) * 1e6
        print(
            f"{name:8} first event {firsts[name]:5.0f} us late; each p50 {p50:5.0f} us, p99 {p99s[name]:5.0f} us late"
        )
    added = (firsts["window"] - firsts["unheld"]) / 1000
    print(f"first event: a window and {added:.2f} ms more (goal: 1 ms)")
    ratio = p99s["window"] / p99s["unheld"]
    print(f"each event, p99: {p99s['window'] - p99s['unheld']:.0f} us more, {ratio:.2f} x unheld (goal: 200 us)")


if __name__ == "__main__":
    main()
