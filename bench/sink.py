"""An OTLP/HTTP receiver that answers at once and counts what came; its own process, on the core that is not measured.

    python -m bench.sink PORT

`POST /v1/traces` takes spans, `GET /tally` says what came so far, `POST /reset` forgets it.
"""

import asyncio
import json
import os
import sys
import time
import zlib
from typing import cast

import httptools
import uvloop

from bench.spans_in import spans_in

_KEEP_BYTES = 1 << 30
"""Compressed bodies wait for the next tally, so that unpacking them does not take time from the load; at most these."""


class Tally:
    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.spans = self.requests = self.bytes = self.last_ns = self.bad = 0
        self.sample = b""
        self._packed: list[bytes] = []
        self._packed_bytes = 0

    def add(self, body: bytes, packed: bool) -> None:
        self.requests += 1
        self.bytes += len(body)
        self.last_ns = time.monotonic_ns()
        if packed:
            self._packed.append(body)
            self._packed_bytes += len(body)
            if self._packed_bytes > _KEEP_BYTES:
                self._unpack()
        else:
            self._count(body)

    def _unpack(self) -> None:
        waiting, self._packed, self._packed_bytes = self._packed, [], 0
        for body in waiting:
            self._count(zlib.decompress(body, wbits=31))

    def _count(self, body: bytes) -> None:
        self.sample = body
        try:
            self.spans += spans_in(body)
        except ValueError:
            self.bad += 1

    def said(self) -> bytes:
        self._unpack()
        names = ("spans", "requests", "bytes", "last_ns", "bad")
        return json.dumps({name: getattr(self, name) for name in names}).encode()


class SinkProtocol(asyncio.Protocol):
    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._start()

    def _start(self) -> None:
        self._chunks: list[bytes] = []
        self._path = b""
        self._packed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._path = url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-encoding":
            self._packed = value == b"gzip"

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        assert self._transport is not None
        body, path, packed = b"".join(self._chunks), self._path, self._packed
        self._start()
        answer, kind = b"", b"application/x-protobuf"
        if path == b"/v1/traces":
            self._tally.add(body, packed)
        elif path == b"/tally":
            answer, kind = self._tally.said(), b"application/json"
        elif path == b"/sample":
            answer = self._tally.sample
        elif path == b"/reset":
            self._tally.forget()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (kind, len(answer))
        self._transport.write(head + answer)


async def serve(port: int) -> None:
    tally = Tally()
    server = await asyncio.get_running_loop().create_server(lambda: SinkProtocol(tally), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    # It stands for another machine: what it does with the spans must not make the load or the upstream wait.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    uvloop.run(serve(int(sys.argv[1])))
