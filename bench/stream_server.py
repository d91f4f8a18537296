"""A model that streams at a given pace, as an asyncio protocol: the first event at once, then one a tick.

    python -m bench.stream_server PORT

The request's headers say which stream, how many events, and how far apart. Ticks are absolute: a late one does not
delay those after it.
"""

import asyncio
import sys
from typing import cast

import httptools
import uvloop

from bench.stream_text import EVENTS_HEADER, PACE_HEADER, STREAM_HEADER, ending, event

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class StreamServer(asyncio.Protocol):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._asked: dict[bytes, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._asked[name.lower()] = value

    def on_message_complete(self) -> None:
        assert self._transport is not None
        if STREAM_HEADER not in self._asked:  # somebody looks whether we are up
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            return
        self._stream = int(self._asked[STREAM_HEADER])
        self._events = int(self._asked[EVENTS_HEADER])
        self._pace_s = int(self._asked[PACE_HEADER]) / 1000
        self._began = self._loop.time()
        self._number = 0
        self._send(_HEAD)

    def _send(self, before: bytes = b"") -> None:
        assert self._transport is not None
        if self._number == self._events:
            self._transport.write(_chunk(ending(self._stream)) + b"0\r\n\r\n")
            return
        self._transport.write(before + _chunk(event(self._stream, self._number)))
        self._number += 1
        self._timer = self._loop.call_at(self._began + self._number * self._pace_s, self._send)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(StreamServer, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
