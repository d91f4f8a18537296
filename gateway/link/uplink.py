"""The worker's side of the socket: keeps finished exchanges until they are on disk. Never waits, never raises.

Bounded in bytes; what comes when it is full is dropped and counted. A control plane that dies takes nothing with it:
what it had not acknowledged is sent again to the next one, in order, and the store knows what it has.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import cast

import msgspec

from gateway.link.frames import (
    MAX_FRAME_BYTES,
    PROTOCOL_VERSION,
    Ack,
    Ask,
    BatchBuilder,
    Down,
    FrameDecoder,
    Hello,
    Trouble,
    Withdraw,
    framed,
    read_down,
)
from gateway.link.records import ExchangeRecord
from gateway.model.review import Decided, Review

_MAX_RECORD_BYTES = MAX_FRAME_BYTES // 2
_DAY_S = 86400


@dataclass(slots=True, frozen=True)
class UplinkLimits:
    queue_bytes: int = 64 * 1024 * 1024
    batch_bytes: int = 1024 * 1024
    batch_s: float = 0.02
    window: int = 8
    """Batches sent and not yet acknowledged."""
    backoff_s: float = 0.1
    backoff_max_s: float = 5.0
    digests: int = 100_000
    """Messages remembered as sent."""


class SentMessages(dict[bytes, None]):
    """Digests of the messages that went up lately, the oldest few thousand out first, so that a history goes up once.

    Emptied with every new connection, and once a day: the store keeps a message for as long after its last sending as
    it keeps exchanges, so one that is still in use must be sent again before it is forgotten there. A dict by
    inheritance, because `in` is asked for every message of every history.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._day = 0

    def remember(self, digest: bytes) -> None:
        self[digest] = None
        if len(self) > self._limit:
            # Some at a time: each look for a dict's oldest key goes by all that were deleted before it.
            for oldest in [*islice(self, 1 + self._limit // 16)]:
                del self[oldest]

    def forget_yesterday(self, unix_s: float) -> None:
        day = int(unix_s // _DAY_S)
        if day != self._day:
            self._day = day
            self.clear()


class Uplink:
    """Queue, batches, window and reconnection of one worker. Runs on the worker's loop."""

    def __init__(self, path: str, worker: str, limits: UplinkLimits | None = None) -> None:
        self.limits = limits or UplinkLimits()
        self.sent = SentMessages(self.limits.digests)
        self._path = path
        self._hello = framed(Hello(worker, PROTOCOL_VERSION))
        self._trouble = ""
        self.on_decided: Callable[[Decided], None] | None = None
        """Told what people decided."""
        self._reviews: dict[str, bytes] = {}
        """Frames of those that exchanges wait for."""
        self._open = BatchBuilder()
        self._waiting: deque[tuple[int, bytes, int]] = deque()
        """(sequence, frame, records) not sent on this connection."""
        self._unacked: deque[tuple[int, bytes, int]] = deque()
        self._sequence = 0
        self._bytes = 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._all_stored: asyncio.Event | None = None
        self._accepted = self._stored = self._dropped = self._failed = self._reconnects = self._resent = 0

    def start(self) -> None:
        """Connect, and reconnect until `drain`. Needs the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._stay_connected(), name="uplink")

    def ask(self, review: Review) -> None:
        """Of whoever is there, and of each control plane that comes while somebody waits."""
        frame = self._reviews[review.id] = framed(Ask(review))
        if self._transport is not None:
            self._transport.write(frame)

    def withdraw(self, review_id: str) -> None:
        if self._reviews.pop(review_id, None) is not None and self._transport is not None:
            self._transport.write(framed(Withdraw(review_id)))

    def has_room(self) -> bool:
        """Ask before building a record: when full, `refuse` is cheaper."""
        return self._bytes + self._open.size < self.limits.queue_bytes

    def refuse(self) -> None:
        """Count an exchange that was not even built because there is no room."""
        self._dropped += 1

    def send(self, record: ExchangeRecord) -> None:
        """Queue, or drop and count."""
        if not self.has_room():
            self._dropped += 1
            return
        try:
            size = self._open.add(record)
        except Exception:
            # The boundary towards the pipeline: text that is not UTF-8, a number beyond 64 bits. Counted as failed.
            self._failed += 1
            return
        if size > _MAX_RECORD_BYTES:
            # The decision must not be lost because the content is big.
            self._open.take_back(size)
            size = self._open.add(msgspec.structs.replace(record, messages=(), preview=""))
            if size > _MAX_RECORD_BYTES:
                # A frame that is too large would be sent again for ever, and nothing behind it.
                self._open.take_back(size)
                self._failed += 1
                return
        else:
            for message in record.messages:
                self.sent.remember(message.digest)
        self._accepted += 1
        if self._open.size >= self.limits.batch_bytes:
            self._close_batch()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.limits.batch_s, self._close_batch)

    def say_trouble(self, text: str) -> None:
        """What the worker does without from now on; "": nothing any more. For the health check."""
        if text != self._trouble:
            self._trouble = text
            if self._transport is not None:
                self._transport.write(framed(Trouble(text)))

    def _close_batch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._open.count:
            return
        self._sequence += 1
        frame = self._open.finished(self._sequence)
        self._waiting.append((self._sequence, frame, self._open.count))
        self._bytes += len(frame)
        self._open = BatchBuilder()
        self.sent.forget_yesterday(time.time())
        self._pump()

    def _pump(self) -> None:
        if self._transport is None:
            return
        while self._waiting and len(self._unacked) < self.limits.window:
            batch = self._waiting.popleft()
            self._unacked.append(batch)
            self._transport.write(batch[1])

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = self.limits.backoff_s
        while True:
            lost = loop.create_future()
            with contextlib.suppress(OSError):
                await loop.create_unix_connection(lambda: _Connection(self, lost), self._path)  # noqa: B023 one at a time
                self._reconnects += 1
                if await lost:
                    backoff = self.limits.backoff_s
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, self.limits.backoff_max_s)

    def connected(self, transport: asyncio.Transport) -> None:
        """A control plane is there, perhaps a new one with another memory: everything unacknowledged goes up again."""
        self._transport = transport
        self.sent.clear()
        transport.write(b"".join([self._hello, *self._reviews.values()]))
        if self._trouble:
            transport.write(framed(Trouble(self._trouble)))
        self._resent += len(self._unacked)
        self._waiting.extendleft(reversed(self._unacked))
        self._unacked.clear()
        self._pump()

    def disconnected(self) -> None:
        self._transport = None

    def acknowledged(self, sequence: int) -> None:
        while self._unacked and self._unacked[0][0] <= sequence:
            _, frame, records = self._unacked.popleft()
            self._bytes -= len(frame)
            self._stored += records
        self._pump()
        if self._all_stored is not None and self._idle:
            self._all_stored.set()

    @property
    def _idle(self) -> bool:
        return not self._waiting and not self._unacked and not self._open.count

    async def drain(self, deadline_s: float) -> None:
        """Have everything acknowledged, at most until the deadline; then stop. What is left is counted as dropped."""
        self._close_batch()
        if not self._idle:
            self._all_stored = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_stored.wait(), deadline_s)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._transport is not None:
            self._transport.close()
        self._dropped += self._queued()

    def _queued(self) -> int:
        return self._open.count + sum(batch[2] for batch in self._waiting) + sum(batch[2] for batch in self._unacked)

    def counters(self) -> dict[str, int]:
        return {
            "accepted": self._accepted,
            "sent": self._stored,
            "dropped": self._dropped,
            "failed": self._failed,
            "retried": self._resent,
            "connections": self._reconnects,
            "queue_items": self._queued(),
            "queue_bytes": self._bytes + (self._open.size if self._open.count else 0),
        }


class _Connection(asyncio.Protocol):
    """One connection; tells `lost` whether it ever carried an acknowledgement."""

    def __init__(self, uplink: Uplink, lost: "asyncio.Future[bool]") -> None:
        self._uplink = uplink
        self._lost = lost
        self._decoder = FrameDecoder(limit=16 * 1024)
        self._transport: asyncio.Transport | None = None
        self._useful = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        self._uplink.connected(self._transport)

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._decoder.feed(data):
                self._take(read_down(payload))
        except ValueError:
            # Not our control plane's language: leave, and try again later.
            assert self._transport is not None
            self._transport.abort()

    def _take(self, frame: Down) -> None:
        self._useful = True
        if isinstance(frame, Ack):
            self._uplink.acknowledged(frame.sequence)
        elif self._uplink.on_decided is not None:
            self._uplink.on_decided(frame)

    def connection_lost(self, error: Exception | None) -> None:
        self._uplink.disconnected()
        if not self._lost.done():
            self._lost.set_result(self._useful)
