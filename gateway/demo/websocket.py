"""The built-in model's WebSockets: the handshake, messages in, paced messages out, or what no server should send.

Knows no API: `realtime.py` and the dialects' streams say what is answered.
"""

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha1
from typing import NamedTuple, Protocol

from wsproto.connection import SERVER
from wsproto.connection import Connection as Frames
from wsproto.events import CloseConnection, Message, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import RemoteProtocolError

from gateway.demo.behaviour import Behaviour
from gateway.demo.connection import Connection, Received
from gateway.demo.delivery import Pace

_BREAKS_AFTER = 6
"""Events that get out before a fault: enough for a piece of text to be among them."""
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class Said(NamedTuple):
    """What one event of a client's is answered with."""

    events: list[bytes]
    behaviour: Behaviour = Behaviour()
    error: bytes = b""
    """What `error_midway` sends then."""


class Speaker(Protocol):
    """One connection of an API. Pure."""

    def hello(self) -> list[bytes]:
        """What is said first."""

    def said(self, message: bytes) -> Said: ...


async def speak(request: Received, link: Connection, speaker: Speaker, pace: Pace) -> None:
    """Take the handshake and talk until the client leaves, or until it is cut off."""
    await _Speaking(request, link, speaker, pace).run()


class _Speaking:
    def __init__(self, request: Received, link: Connection, speaker: Speaker, pace: Pace) -> None:
        self._link = link
        self._speaker = speaker
        self._pace = pace
        self._deflate = PerMessageDeflate()
        self._head = self._handshake(request)
        self._frames = Frames(SERVER, [self._deflate])
        self._message: list[str] = []

    def _handshake(self, request: Received) -> bytes:
        key = (request.header("sec-websocket-key") or "").encode()
        accept = b64encode(sha1(key + _MAGIC, usedforsecurity=False).digest())
        lines = [b"upgrade: websocket", b"connection: Upgrade", b"sec-websocket-accept: " + accept]
        offers = (request.header("sec-websocket-extensions") or "").split(",")
        offer = next((offer.strip() for offer in offers if offer.strip().startswith("permessage-deflate")), None)
        agreed = self._deflate.accept(offer) if offer is not None else None
        if agreed is not None and agreed is not False:
            lines.append(f"sec-websocket-extensions: permessage-deflate{'; ' if agreed else ''}{agreed}".encode())
        protocols = (request.header("sec-websocket-protocol") or "").split(",")
        if "realtime" in [protocol.strip() for protocol in protocols]:
            lines.append(b"sec-websocket-protocol: realtime")
        return b"HTTP/1.1 101 Switching Protocols\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"

    async def run(self) -> None:
        await self._link.send(self._head)
        await self._send(self._speaker.hello())
        while True:
            data = await self._link.incoming.get()
            try:
                self._frames.receive_data(data)
                for event in self._frames.events():
                    if not await self._take(event):
                        return
            except RemoteProtocolError as error:
                await self._link.send(self._frames.send(CloseConnection(error.event_hint or 1002)))  # type: ignore[arg-type]
                self._link.close()
                return

    async def _take(self, event: object) -> bool:
        """Whether the connection goes on."""
        if isinstance(event, CloseConnection):
            await self._link.send(self._frames.send(event.response()))
            self._link.close()
            return False
        if isinstance(event, Ping):
            await self._link.send(self._frames.send(event.response()))
        elif isinstance(event, TextMessage):
            self._message.append(event.data)
            if event.message_finished:
                message, self._message = "".join(self._message), []
                return await self._answer(self._speaker.said(message.encode()))
        return True

    async def _answer(self, said: Said) -> bool:
        fault = said.behaviour.fault
        if fault == "hang":
            await self._link.forever()
        for event in said.events[:_BREAKS_AFTER] if fault else said.events:
            if said.behaviour.delay_s:
                await asyncio.sleep(said.behaviour.delay_s)
            await self._pace.turn()
            await self._send([event])
        match fault:
            case "":
                return True
            case "error_midway":
                await self._send([said.error])
                return True
            case "hang_midway":
                await self._link.forever()
            case "reset":
                self._link.reset()
            case "garbage" | "garbage_midway":
                await self._link.send(b"\xff\x00 not a frame")
        self._link.close()
        return False

    async def _send(self, events: Iterable[bytes]) -> None:
        for event in events:
            await self._link.send(self._frames.send(Message(data=event.decode())))
