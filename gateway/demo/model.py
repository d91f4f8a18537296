"""A model that needs no key: speaks the APIs that the gateway understands over HTTP/1.1, also badly.

For demos and tests. What it does is chosen by the model's name (`behaviour.py`); nothing is random, nothing is
learnt, nothing leaves the machine.
"""

import asyncio
import ssl
from collections import deque
from hashlib import blake2b
from types import TracebackType
from typing import Self

from gateway.demo.answering import answer_to, error_answer
from gateway.demo.behaviour import Behaviour
from gateway.demo.connection import Connection, Received
from gateway.demo.delivery import Answer, Pace, deliver
from gateway.demo.forms import without_boundary
from gateway.demo.pace import FreePace, ManualPace, Signal
from gateway.demo.speaking import speaker_for
from gateway.demo.websocket import Speaker, speak
from gateway.providers.content import decode


class BuiltinModel:
    """`async with BuiltinModel() as model:` and point a client at `model.url`.

    The same request gets the same bytes, whoever sends it and when.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        remember: int = 1000,
        body_max: int = 64 * 1024 * 1024,
        websockets: bool = True,
    ) -> None:
        """`websockets`: False where every handshake is refused with 426."""
        self.requests: deque[Received] = deque(maxlen=remember)
        """Those whose head arrived, oldest first; the latest `remember` of them."""
        self.count = 0
        """All of them since the start."""
        self._host = host
        self._port = port
        self._tls = tls
        self._body_max = body_max
        self._websockets = websockets
        self._pace: Pace = FreePace()
        self._arrival = Signal()
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: deque[Exception] = deque(maxlen=16)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self._host, self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Drop every connection. Raises what went wrong inside the model, if anything did."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.drop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._failures:
            raise ExceptionGroup("the built-in model failed", list(self._failures))

    @property
    def url(self) -> str:
        """Scheme, host and port: `http://127.0.0.1:41234`, no slash at the end."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    async def received(self, number: int = 1) -> Received:
        """The `number`th request since the start, once it is there whole."""
        while self.count < number:
            await self._arrival.wait()
        request = self.requests[number - 1 - (self.count - len(self.requests))]
        await request.whole()
        return request

    def manual_pace(self) -> ManualPace:
        """From now on each streamed event, and each whole answer, waits for `release()`."""
        self._pace = pace = ManualPace()
        return pace

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _connection(self) -> Connection:
        connection = Connection(self, self._body_max)
        self._connections.add(connection)
        return connection

    # What a connection reports (connection.Host).

    def request_begun(self, request: Received) -> None:
        self.requests.append(request)
        self.count += 1
        self._arrival.changed()

    async def handle(self, request: Received, link: Connection) -> None:
        if (request.header("upgrade") or "").lower() == "websocket":
            await self._speak(request, link)
            return
        seed = blake2b(request.target.encode() + b"\n" + without_boundary(request.body), digest_size=12).hexdigest()
        body = decode(request.body, request.header("content-encoding") or "", self._body_max)
        if body.state == "full":
            answer, behaviour = answer_to(request.method, request.target, body.data, _try_number(request), seed)
        else:
            answer, behaviour = error_answer(400, "The request body cannot be decoded.", seed), Behaviour()
        await deliver(answer, request, behaviour, self._pace, link)

    async def _speak(self, request: Received, link: Connection) -> None:
        if not self._websockets:
            speaker: Speaker | Answer = error_answer(426, "This model speaks HTTP only.", "0")
        else:
            speaker = speaker_for(request.target, request.header("sec-websocket-key") or "")
        if isinstance(speaker, Answer):
            request.keeps_alive = False
            await deliver(speaker, request, Behaviour(close=True), self._pace, link)
        else:
            try:
                await speak(request, link, speaker, self._pace)
            finally:
                link.close()

    def task_started(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def connection_ended(self, link: Connection) -> None:
        self._connections.discard(link)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._failures.append(error)


def _try_number(request: Received) -> int:
    """How often an SDK has tried this call before; both official SDKs say so."""
    said = request.header("x-stainless-retry-count") or "0"
    return int(said) if said.isascii() and said.isdigit() else 0
