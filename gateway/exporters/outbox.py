"""The bounded queue between the hot path and a slow destination: batches, retries, counts. Knows no protocol.

`put` never waits: what does not fit is dropped, the newest, and counted. What is in flight still counts against the
bound. Content is never logged; of a failure only its kind is.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import structlog
from pydantic import Field, model_validator

from gateway.exporters.retry import Backoff, RetryConfig
from gateway.units import ConfigModel, Duration, Size

_ITEM_OVERHEAD = 120
"""What Python keeps beside an item's bytes: a queue of small spans must not outgrow its bound by objects."""
_DEFAULT_BYTES = 64 << 20
_DEFAULT_ITEMS = 1_000_000


class BatchConfig(ConfigModel):
    """How much goes out together: whichever comes first."""

    flush_timeout: Duration = 0.2
    max_size: Size = Field(default=512 << 10, gt=0, le=4 << 20)
    """The kernel copies a batch in one go, and calls wait as long: 0.3 ms a MiB."""
    max_spans: int = Field(default=512, gt=0)


class QueueConfig(ConfigModel):
    """`sending_queue`. In bytes unless `sizer` says otherwise; 64 MiB of memory bound it in any case.

    An exchange is one request and one item: `requests` and `items` are the same here. `enabled: false` keeps nothing
    waiting: each span goes at once, and what comes while every consumer is busy is dropped and counted.
    """

    enabled: bool = True
    num_consumers: int = Field(default=10, gt=0, le=100)
    sizer: Literal["bytes", "items", "requests"] = "bytes"
    queue_size: Size | None = Field(default=None, gt=0)
    batch: BatchConfig = BatchConfig()

    @model_validator(mode="after")
    def _size_fits_its_unit(self) -> Self:
        if self.sizer == "bytes" and self.queue_size is not None and self.queue_size < 1 << 20:
            raise ValueError("'queue_size' under 1MiB holds hardly a batch; write a size, or set sizer: items")
        return self

    @property
    def limits(self) -> tuple[int, int]:
        """(bytes, items)."""
        if not self.enabled:
            return _DEFAULT_BYTES, self.num_consumers
        if self.sizer == "bytes":
            return self.queue_size or _DEFAULT_BYTES, _DEFAULT_ITEMS
        return _DEFAULT_BYTES, self.queue_size or _DEFAULT_ITEMS


class Item(NamedTuple):
    """One encoded span. Its first `core` bytes are the same span without content, for who refuses the whole."""

    data: bytes
    core: int

    @property
    def cost(self) -> int:
        return len(self.data) + _ITEM_OVERHEAD


@dataclass(slots=True, frozen=True)
class Reply:
    """What became of one attempt."""

    kind: Literal["sent", "retry", "too_large", "refused"]
    reason: str = ""
    """Low-cardinality: `http_503`, `connect`, `timeout`. Never what the server wrote."""
    rejected: int = 0
    """Of a sent batch: items the server did not take. They are not sent again."""
    retry_after_s: float | None = None


Send = Callable[[Sequence[bytes]], Awaitable[Reply]]


@dataclass(slots=True)
class Counters:
    """accepted = sent + rejected + dropped_failed + queue_items, once nothing moves."""

    accepted: int = 0
    sent: int = 0
    rejected: int = 0
    """Refused by the server inside an accepted batch."""
    dropped_full: int = 0
    """Never accepted: the queue was full, or closed."""
    dropped_failed: int = 0
    """Accepted and lost: refused for good, retries used up, or the shutdown's deadline."""
    retried: int = 0
    """Attempts after the first."""
    without_content: int = 0
    """Sent, but only after the content had to go: the server found the span too large."""
    queue_items: int = 0
    queue_bytes: int = 0


class Outbox:
    """Owns its consumer tasks from `start` to `drain`. Belongs to one event loop; `put` may come before `start`."""

    def __init__(
        self,
        name: str,
        send: Send,
        queue: QueueConfig,
        retry: RetryConfig,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.counters = Counters()
        self._name = name
        self._send = send
        self._retry = retry
        self._clock = clock
        self._dice = dice
        self._consumers = queue.num_consumers
        self._max_bytes, self._max_items = queue.limits
        self._batch_bytes = queue.batch.max_size
        self._batch_items = queue.batch.max_spans if queue.enabled else 1
        self._flush_s = queue.batch.flush_timeout
        self._waiting: deque[Item] = deque()
        self._waiting_bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = asyncio.Event()
        self._closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._health = _Health(name)

    def put(self, data: bytes, core: int) -> bool:
        """Queue one encoded span; False where it was dropped."""
        item = Item(data, core)
        counters = self.counters
        cost = item.cost
        full = counters.queue_items >= self._max_items or counters.queue_bytes + cost > self._max_bytes
        if full or self._closing.is_set():
            counters.dropped_full += 1
            return False
        counters.accepted += 1
        counters.queue_items += 1
        counters.queue_bytes += cost
        self._waiting.append(item)
        self._waiting_bytes += len(data)
        if self._full_batch:
            self._due.set()
        elif self._timer is None and not self._due.is_set():
            self._arm()
        return True

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._waiting:
            self._due.set()
        for number in range(self._consumers):
            self._tasks.append(asyncio.create_task(self._consume(), name=f"{self._name}-sender-{number}"))

    async def drain(self, deadline_s: float) -> None:
        """Send what is queued once, without retries; what is left at the deadline is dropped and counted."""
        self._closing.set()
        self._due.set()
        self._disarm()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=deadline_s)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks.clear()
            self._finish(list(self._waiting), dropped=True)
            self._waiting.clear()
            self._waiting_bytes = 0

    @property
    def _full_batch(self) -> bool:
        return len(self._waiting) >= self._batch_items or self._waiting_bytes >= self._batch_bytes

    def _arm(self) -> None:
        if self._loop is not None:
            self._timer = self._loop.call_later(self._flush_s, self._flush)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._timer = None
        self._due.set()

    async def _consume(self) -> None:
        while True:
            await self._due.wait()
            if not self._due.is_set():
                continue  # woken together with the others, and one of them took what was due
            batch = self._take()
            if batch:
                await self._deliver(batch)
            elif self._closing.is_set():
                return

    def _take(self) -> list[Item]:
        """The oldest items, a batch at most; whoever takes the last due one puts the others back to waiting."""
        batch: list[Item] = []
        size = 0
        while self._waiting and len(batch) < self._batch_items:
            length = len(self._waiting[0].data)
            if batch and size + length > self._batch_bytes:
                break
            batch.append(self._waiting.popleft())
            size += length
        self._waiting_bytes -= size
        if not self._full_batch and not self._closing.is_set():
            self._due.clear()
            self._disarm()
            if self._waiting:
                self._arm()
        return batch

    async def _deliver(self, batch: list[Item]) -> None:
        """Until every item is sent or given up. A batch the server finds too large is halved, down to one span."""
        parts = [batch]
        try:
            while parts:
                part = parts[-1]
                reply = await self._attempts([item.data for item in part])
                if reply.kind == "too_large":
                    parts[-1:] = self._smaller(part)
                    continue
                # No await between counting and forgetting: a cancellation counts each item exactly once.
                parts.pop()
                self._settle(part, reply)
        finally:
            for part in parts:
                self._finish(part, dropped=True)

    def _smaller(self, part: list[Item]) -> list[list[Item]]:
        if len(part) > 1:
            middle = len(part) // 2
            return [part[middle:], part[:middle]]
        item = part[0]
        if item.core < len(item.data):
            bare = Item(item.data[: item.core], item.core)
            self.counters.without_content += 1
            self.counters.queue_bytes -= item.cost - bare.cost
            return [[bare]]
        self._settle(part, Reply("refused", "too_large"))
        return []

    async def _attempts(self, data: Sequence[bytes]) -> Reply:
        """Send until there is an answer that stands; a "retry" that comes back is one too many."""
        backoff = Backoff(self._retry, self._clock(), self._dice)
        while True:
            reply = await self._attempt(data)
            if reply.kind != "retry" or self._closing.is_set():
                return reply
            self._health.failing(reply.reason)
            delay_s = backoff.delay_s(self._clock(), reply.retry_after_s)
            if delay_s is None:
                return reply
            await self._pause(delay_s)
            self.counters.retried += 1

    async def _attempt(self, data: Sequence[bytes]) -> Reply:
        try:
            return await self._send(data)
        except Exception as error:  # a sender's bug must not end the consumer; the batch is counted as lost
            return Reply("refused", type(error).__name__)

    async def _pause(self, delay_s: float) -> None:
        """Wait, but not through a shutdown: then one last attempt is made at once."""
        try:
            async with asyncio.timeout(delay_s):
                await self._closing.wait()
        except TimeoutError:
            pass

    def _settle(self, part: list[Item], reply: Reply) -> None:
        if reply.kind != "sent":
            self._health.lost(reply.reason, len(part))
            self._finish(part, dropped=True)
            return
        rejected = min(max(0, reply.rejected), len(part))
        self.counters.sent += len(part) - rejected
        self.counters.rejected += rejected
        self._health.sent(rejected)
        self._finish(part, dropped=False)

    def _finish(self, items: list[Item], dropped: bool) -> None:
        if dropped:
            self.counters.dropped_failed += len(items)
        self.counters.queue_items -= len(items)
        self.counters.queue_bytes -= sum(item.cost for item in items)


class _Health:
    """Says when a destination begins to fail and when it is back, not what each batch went through."""

    def __init__(self, name: str) -> None:
        self._log = structlog.get_logger().bind(exporter=name)
        self._said: set[str] = set()
        """Kinds of failure logged since the last success: a handful at most."""

    def failing(self, reason: str) -> None:
        if "failing" not in self._said:
            self._said.add("failing")
            self._log.warning("export failing, will retry", reason=reason)

    def lost(self, reason: str, items: int) -> None:
        if f"lost {reason}" not in self._said:
            self._said.add(f"lost {reason}")
            self._log.error(
                "export failed, spans dropped; further ones are counted, not logged", reason=reason, spans=items
            )

    def sent(self, rejected: int) -> None:
        if self._said - {"rejected"}:
            self._log.info("export works again")
        self._said &= {"rejected"}
        if rejected and "rejected" not in self._said:
            self._said.add("rejected")
            self._log.warning("server rejected spans of an accepted batch; further ones are counted", spans=rejected)
