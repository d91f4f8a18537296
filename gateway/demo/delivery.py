"""How an answer's bytes go out: framed, encoded, paced, or broken on purpose. Knows no wire format."""

import asyncio
import zlib
from dataclasses import dataclass
from typing import Protocol

import brotli
import zstandard

from gateway.demo.behaviour import Behaviour
from gateway.demo.connection import Connection, Received
from gateway.demo.dialect import Headers

BREAKS_AFTER = 3
"""Events that get out before a fault in mid-stream."""
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
}
_ODD_HEADERS: tuple[bytes, ...] = (
    b"Set-Cookie: a=1; Path=/\r\n",
    b"X-MiXeD-CaSe: Kept\r\n",
    b"set-cookie: b=2; Path=/\r\n",
    b"x-empty: \r\n",
    b"x-latin: caf\xe9\r\n",
    b"x-repeated: one\r\nx-repeated: two\r\n",
)


@dataclass(slots=True, frozen=True)
class Answer:
    status: int
    content_type: str
    pieces: list[bytes]
    """A stream's events, or one whole body."""
    headers: Headers = ()
    streamed: bool = False
    error_event: bytes = b""
    """What `error_midway` sends after the third event."""


class Pace(Protocol):
    async def turn(self) -> None:
        """Returns when the next event may leave."""


async def deliver(answer: Answer, request: Received, behaviour: Behaviour, pace: Pace, link: Connection) -> None:
    """Send the answer the way its behaviour asks for; returns when nothing more will come of it."""
    match behaviour.fault:
        case "hang":
            await link.forever()
        case "early_close":
            link.close()
            return
        case "garbage":
            await link.send(b"\x16\x03\x01 this is not HTTP \xff\xfe\r\n\r\n")
            link.close()
            return
    await _Delivery(answer, request, behaviour, pace, link).run()


class _Delivery:
    def __init__(self, answer: Answer, request: Received, behaviour: Behaviour, pace: Pace, link: Connection) -> None:
        self._answer = answer
        self._request = request
        self._behaviour = behaviour
        self._pace = pace
        self._link = link
        self._until_close = behaviour.http10 or (answer.streamed and request.version == "1.0")
        self._coding = behaviour.coding if _accepts(request, behaviour.coding) else ""

    async def run(self) -> None:
        if self._answer.streamed:
            await self._stream()
        else:
            await self._whole()
        if self._until_close or self._behaviour.close:
            self._link.close()

    async def _whole(self) -> None:
        await self._turn()
        body = b"".join(self._answer.pieces)
        if self._coding:
            encoder = _encoder(self._coding)
            body = encoder.event(body) + encoder.end()
        head = self._head(b"" if self._until_close else b"content-length: %d\r\n" % len(body))
        if self._request.method == "HEAD":
            await self._link.send(head)
        elif self._behaviour.fault in ("cut", "reset", "hang_midway", "garbage_midway"):
            await self._link.send(head + body[: len(body) // 2])
            await self._break()
        else:
            await self._link.send(head + body)

    async def _stream(self) -> None:
        encoder = _encoder(self._coding)
        await self._link.send(self._head(b"" if self._until_close else b"transfer-encoding: chunked\r\n"))
        broken = bool(self._behaviour.fault)
        events = self._answer.pieces[:BREAKS_AFTER] if broken else self._answer.pieces
        for event in events:
            await self._turn()
            await self._send(encoder.event(event))
        if self._behaviour.fault == "error_midway":
            await self._turn()
            await self._send(encoder.event(self._answer.error_event))
        elif broken:
            await self._break()
            return
        await self._send(encoder.end())
        if not self._until_close:
            await self._link.send(b"0\r\n\r\n")

    async def _turn(self) -> None:
        if self._behaviour.delay_s:
            await asyncio.sleep(self._behaviour.delay_s)
        await self._pace.turn()

    async def _send(self, data: bytes) -> None:
        """One write an event, each a chunk of its own."""
        if not data:
            return  # An empty chunk would end the body.
        await self._link.send(data if self._until_close else b"%x\r\n%b\r\n" % (len(data), data))

    async def _break(self) -> None:
        match self._behaviour.fault:
            case "hang_midway":
                await self._link.forever()
            case "reset":
                self._link.reset()
            case "garbage_midway":
                await self._link.send(b"zz\r\nnot a chunk size\r\n\r\n")
        self._link.close()

    def _head(self, framing: bytes) -> bytes:
        answer = self._answer
        version = b"HTTP/1.0" if self._behaviour.http10 else b"HTTP/1.1"
        reason = _REASONS.get(answer.status, "Error")
        lines = [version, b" %d %b\r\n" % (answer.status, reason.encode())]
        lines.append(b"content-type: %b\r\n" % answer.content_type.encode())
        lines += [f"{name}: {value}\r\n".encode() for name, value in answer.headers]
        if self._coding:
            lines.append(b"content-encoding: %b\r\nvary: accept-encoding\r\n" % self._coding.encode())
        if self._behaviour.odd_headers:
            lines += _ODD_HEADERS
        if self._behaviour.close:
            lines.append(b"connection: close\r\n")
        return b"".join([*lines, framing, b"\r\n"])


def _accepts(request: Received, coding: str) -> bool:
    """No accept-encoding at all means that any will do (RFC 9110, 12.5.3)."""
    accepted = request.header("accept-encoding")
    if accepted is None:
        return True
    offers = [offer.strip().lower().partition(";") for offer in accepted.split(",")]
    return any(name.strip() in (coding, "*") and weight.replace(" ", "") != "q=0" for name, _, weight in offers)


class _Encoder(Protocol):
    def event(self, data: bytes) -> bytes:
        """Encoded and flushed, so that the client can decode it now."""

    def end(self) -> bytes: ...


def _encoder(coding: str) -> _Encoder:
    match coding:
        case "gzip":
            return _Zlib(zlib.MAX_WBITS | 16)
        case "deflate":
            return _Zlib(zlib.MAX_WBITS)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
    return _Plain()


class _Plain:
    def event(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class _Zlib:
    def __init__(self, wbits: int) -> None:
        self._compress = zlib.compressobj(wbits=wbits)

    def event(self, data: bytes) -> bytes:
        return self._compress.compress(data) + self._compress.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._compress.flush()


class _Brotli:
    def __init__(self) -> None:
        self._compress = brotli.Compressor(quality=4)

    def event(self, data: bytes) -> bytes:
        return bytes(self._compress.process(data) + self._compress.flush())

    def end(self) -> bytes:
        return bytes(self._compress.finish())


class _Zstd:
    def __init__(self) -> None:
        self._compress = zstandard.ZstdCompressor().compressobj()

    def event(self, data: bytes) -> bytes:
        return self._compress.compress(data) + self._compress.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def end(self) -> bytes:
        return self._compress.flush()
