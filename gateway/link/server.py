"""The control plane's side of the socket: hands batches to a sink, acknowledges what the sink says is on disk.

Refuses to acknowledge early, and reads no further from a worker while too much of what it sent is not stored yet.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from socket import socket
from typing import Protocol, cast

from gateway.link.frames import (
    PROTOCOL_VERSION,
    Ack,
    Ask,
    Batch,
    FrameDecoder,
    Hello,
    Trouble,
    Up,
    Withdraw,
    framed,
    read_up,
)
from gateway.link.records import ExchangeRecord
from gateway.model.review import Decided, Review

_UNSTORED_BYTES = 32 * 1024 * 1024
_ACCEPT_AGAIN_S = 0.1


class RecordSink(Protocol):
    """Where records go: the store's writer."""

    def submit(self, records: Sequence[ExchangeRecord], stored: Callable[[], None]) -> None:
        """Take them; call `stored` from any thread once they are on disk, in the order of the calls."""


class ReviewSink(Protocol):
    """Where reviews are asked for. Never waits."""

    def ask(self, review: Review) -> None: ...

    def withdraw(self, review_id: str) -> None: ...


class LinkServer:
    """Accepts workers on an already listening Unix socket."""

    def __init__(self, sink: RecordSink | None) -> None:
        """`sink`: None where nothing is kept; whoever sends records all the same is refused."""
        self.sink = sink
        self.reviews: ReviewSink | None = None
        """None where nobody can decide: what is asked then runs into its time-out."""
        self.workers: dict[str, int] = {}
        """Connections by worker id."""
        self.troubles: dict[str, str] = {}
        """What connected workers do without, by worker id; those that do without nothing are not in it."""
        self.connections: set[asyncio.Transport] = set()
        self.received = 0
        self.refused = 0
        """Connections closed because they did not speak this version of the protocol."""
        self.stopping = False
        self._nobody_left = asyncio.Event()
        self._accepting: asyncio.Task[None] | None = None

    def start(self, listening: socket) -> None:
        """Serve connections of this socket, which stays the caller's: neither closed nor unlinked here."""
        listening.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listening), name="link-accept")

    async def _accept(self, listening: socket) -> None:
        # By hand, since a server object would unlink the socket's path, where the next control plane is expected.
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
                await loop.connect_accepted_socket(lambda: _WorkerConnection(self), connection)
            except OSError:
                # Out of file descriptors, or a worker gone already.
                await asyncio.sleep(_ACCEPT_AGAIN_S)

    async def all_left(self, deadline_s: float) -> None:
        """Until no worker is connected, or until the deadline: what they have yet to say, they say at their end."""
        if self.workers:
            self._nobody_left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nobody_left.wait(), deadline_s)

    def counters(self) -> dict[str, int]:
        return {"received": self.received, "refused": self.refused}

    def tell(self, decided: Decided) -> None:
        """All workers: one of them has an exchange that waits for it."""
        for transport in self.connections:
            if not transport.is_closing():
                transport.write(framed(decided))

    def worker_left(self, worker: str) -> None:
        left = self.workers.pop(worker) - 1
        if left:
            self.workers[worker] = left
        else:
            self.troubles.pop(worker, None)
        if not self.workers:
            self._nobody_left.set()

    async def stop(self) -> None:
        """Say goodbye. Have what was read stored and acknowledged before calling this."""
        await self._stop_accepting()
        for transport in list(self.connections):
            transport.close()

    async def pause(self) -> None:
        """Accept and read nothing more, so that what was read can be stored and acknowledged."""
        self.stopping = True
        await self._stop_accepting()
        for transport in self.connections:
            transport.pause_reading()

    async def _stop_accepting(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])


class _WorkerConnection(asyncio.Protocol):
    def __init__(self, server: LinkServer) -> None:
        self._server = server
        self._decoder = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._worker: str | None = None
        self._unstored = 0
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        self._server.connections.add(self._transport)
        if self._server.stopping:
            self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._decoder.feed(data):
                self._take(payload)
        except ValueError:
            self._server.refused += 1
            assert self._transport is not None
            self._transport.abort()

    def _take(self, payload: bytes) -> None:
        frame = read_up(payload)
        if self._worker is None:
            self._greet(frame)
        elif isinstance(frame, Batch):
            self._submit(frame, len(payload))
        elif isinstance(frame, Trouble):
            self._server.troubles.pop(self._worker, None)
            if frame.text:
                self._server.troubles[self._worker] = frame.text
        elif isinstance(frame, Ask | Withdraw):
            self._review(frame)
        else:
            raise ValueError("a second hello")

    def _review(self, frame: Ask | Withdraw) -> None:
        reviews = self._server.reviews
        if reviews is None:
            return
        if isinstance(frame, Ask):
            reviews.ask(frame.review)
        else:
            reviews.withdraw(frame.review_id)

    def _greet(self, frame: Up) -> None:
        if not isinstance(frame, Hello) or frame.version != PROTOCOL_VERSION:
            raise ValueError(f"expected a hello of protocol version {PROTOCOL_VERSION}")
        self._worker = frame.worker
        self._server.workers[frame.worker] = self._server.workers.get(frame.worker, 0) + 1

    def _submit(self, batch: Batch, size: int) -> None:
        assert self._transport is not None
        if self._server.sink is None:
            raise ValueError("records, and nothing is kept")
        self._server.received += len(batch.records)
        self._unstored += size
        if self._unstored > _UNSTORED_BYTES:
            self._transport.pause_reading()

        def stored() -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._acknowledge, batch.sequence, size)

        self._server.sink.submit(batch.records, stored)

    def _acknowledge(self, sequence: int, size: int) -> None:
        assert self._transport is not None
        self._unstored -= size
        if self._transport.is_closing():
            return
        self._transport.write(framed(Ack(sequence)))
        if self._unstored <= _UNSTORED_BYTES and not self._server.stopping:
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        assert self._transport is not None
        self._server.connections.discard(self._transport)
        if self._worker is not None:
            self._server.worker_left(self._worker)
