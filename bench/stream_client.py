"""Opens many streams, checks every byte and takes the time of every event; asyncio protocols, a process of its own.

    python -m bench.stream_client PORT STREAMS ROUNDS EVENTS PACE_MS

Each of STREAMS connections takes ROUNDS streams, one after the other. They begin spread over one second, as users do.
Prints one line of JSON (`StreamFigures`). Ends by itself, however the server behaves.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools
import uvloop

from bench.prompts import PATH
from bench.stream_text import EVENTS_HEADER, PACE_HEADER, STREAM_HEADER, whole

_SPREAD_S = 1.0


@dataclass(slots=True)
class StreamFigures:
    first_ms: list[float] = field(default_factory=list)
    """From the request to the first event, of every stream."""
    longest_gap_ms: list[float] = field(default_factory=list)
    """The longest time without an event, of every stream."""
    differing: int = 0
    """Streams with a byte that was not the one sent, or too many, or a status other than 200."""
    unfinished: int = 0
    events: int = 0


class StreamClient(asyncio.Protocol):
    """One connection; `done` is set when its last stream is over or the connection is gone."""

    def __init__(self, streams: list[int], events: int, pace_ms: int, figures: StreamFigures) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting, self._events, self._pace_ms, self._figures = streams, events, pace_ms, figures
        self.done = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        if not self._waiting:
            self._transport.close()
            return
        stream = self._waiting.pop(0)
        self._expected, self._at, self._longest = whole(stream, self._events), 0, 0.0
        self._right = True
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(_request(stream, self._events, self._pace_ms))
        self._last = time.monotonic()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        self._right = self._parser.get_status_code() == 200

    def on_body(self, body: bytes) -> None:
        now = time.monotonic()  # not the loop's: uvloop caches that for a turn, and a late client would look punctual
        if self._at == 0:
            self._figures.first_ms.append((now - self._last) * 1000)
        else:
            self._longest = max(self._longest, now - self._last)
        self._last = now
        if not self._expected.startswith(body, self._at):
            self._right = False
        self._at += len(body)
        self._figures.events += 1

    def on_message_complete(self) -> None:
        figures = self._figures
        figures.longest_gap_ms.append(self._longest * 1000)
        if not self._right or self._at != len(self._expected):
            figures.differing += 1
        self._at = -1
        # Not from within the parser's callback: the next stream replaces the parser.
        self._loop.call_soon(self._next)

    def connection_lost(self, exc: Exception | None) -> None:
        self._figures.unfinished += len(self._waiting) + (self._at >= 0)
        if not self.done.done():
            self.done.set_result(None)


def _request(stream: int, events: int, pace_ms: int) -> bytes:
    prompt = b"Tell me story number %d, slowly." % stream
    body = b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"%b"}]}' % prompt
    return (
        b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer bench-key-that-is-no-key\r\n"
        b"content-type: application/json\r\naccept: text/event-stream\r\n%b: %d\r\n%b: %d\r\n%b: %d\r\n"
        b"content-length: %d\r\n\r\n%b"
        % (PATH.encode(), STREAM_HEADER, stream, EVENTS_HEADER, events, PACE_HEADER, pace_ms, len(body), body)
    )


async def measure(port: int, streams: int, rounds: int, events: int, pace_ms: int) -> StreamFigures:
    """All streams; at most as long as they should take, and half a minute."""
    figures = StreamFigures()
    limit_s = _SPREAD_S + rounds * events * pace_ms / 1000 + 30
    try:
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
            for number in range(streams):
                mine = [number + turn * streams for turn in range(rounds)]
                delay_s = _SPREAD_S * number / streams
                client = StreamClient(mine, events, pace_ms, figures)
                group.create_task(_one(port, client, delay_s), name=f"stream-{number}")
    except TimeoutError:
        figures.unfinished = streams * rounds - len(figures.longest_gap_ms)
    return figures


async def _one(port: int, client: StreamClient, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", port)
    await client.done


if __name__ == "__main__":
    arguments = [int(word) for word in sys.argv[1:6]]
    print(json.dumps(asdict(uvloop.run(measure(*arguments)))))
