"""The outbox never blocks, never loses without counting, and says nothing of what it carries."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.exporters.outbox import Outbox, QueueConfig, Reply
from gateway.exporters.retry import RetryConfig

SENT = Reply("sent")
AGAIN = Reply("retry", "http_503")
QUICK = RetryConfig.model_validate({"initial_interval": "1ms", "max_interval": "1ms"})


class Destination:
    """A fake sender: answers its script, then "sent"; while its gate is shut, whoever sends waits."""

    def __init__(self, *script: Reply | Exception) -> None:
        self.script = list(script)
        self.batches: list[list[bytes]] = []
        self.taken: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()

    async def send(self, data: Sequence[bytes]) -> Reply:
        self.batches.append(list(data))
        self.reached.set()
        await self.gate.wait()
        reply = self.script.pop(0) if self.script else SENT
        if isinstance(reply, Exception):
            raise reply
        if reply.kind == "sent":
            self.taken += data
        return reply


def outbox(destination: Destination, retry: RetryConfig = QUICK, **queue: Any) -> Outbox:
    queue = {"num_consumers": 1, "batch": {"flush_timeout": "1h"}} | queue
    return Outbox("test", destination.send, QueueConfig.model_validate(queue), retry)


def settled(box: Outbox) -> bool:
    counters = box.counters
    ended = counters.sent + counters.rejected + counters.dropped_failed
    return counters.accepted == ended and counters.queue_items == counters.queue_bytes == 0


async def test_a_batch_goes_when_it_is_full_without_waiting_for_the_clock() -> None:
    to = Destination()
    box = outbox(to, batch={"flush_timeout": "1h", "max_spans": 3})
    await box.start()
    for n in range(4):
        box.put(b"%d" % n, 1)
    await to.reached.wait()
    assert to.batches == [[b"0", b"1", b"2"]]
    await box.drain(5)
    assert to.batches[1:] == [[b"3"]]
    assert settled(box)


async def test_a_batch_is_cut_by_bytes() -> None:
    to = Destination()
    box = outbox(to, batch={"flush_timeout": "1h", "max_size": 100})
    for size in (60, 60, 30, 500, 10):
        box.put(b"x" * size, size)
    await box.start()
    await box.drain(5)
    assert [[len(data) for data in batch] for batch in to.batches] == [[60], [60, 30], [500], [10]]


async def test_a_lonely_span_leaves_after_the_flush_interval() -> None:
    to = Destination()
    box = outbox(to, batch={"flush_timeout": "1ms"})
    await box.start()
    box.put(b"a", 1)
    await to.reached.wait()
    to.reached.clear()
    box.put(b"b", 1)  # the clock starts again
    await to.reached.wait()
    assert to.batches == [[b"a"], [b"b"]]
    await box.drain(5)


async def test_a_full_queue_drops_the_newest_and_counts_what_is_in_flight() -> None:
    to = Destination()
    to.gate.clear()
    box = outbox(to, sizer="items", queue_size=3, batch={"max_spans": 1})
    await box.start()
    box.put(b"0", 1)
    await to.reached.wait()  # in flight, and still in the bound
    assert [box.put(b"%d" % n, 1) for n in range(1, 5)] == [True, True, False, False]
    assert (box.counters.dropped_full, box.counters.queue_items) == (2, 3)
    to.gate.set()
    await box.drain(5)
    assert to.taken == [b"0", b"1", b"2"]
    assert settled(box)


async def test_the_bound_is_in_bytes_by_default() -> None:
    box = outbox(Destination(), queue_size="1MiB")
    assert box.put(b"x" * 600_000, 1)
    assert not box.put(b"x" * 600_000, 1)
    assert box.put(b"x" * 1000, 1)


async def test_without_a_queue_nothing_waits() -> None:
    to = Destination()
    to.gate.clear()
    box = outbox(to, enabled=False, num_consumers=2)
    await box.start()
    assert [box.put(b"%d" % n, 1) for n in range(3)] == [True, True, False]
    to.gate.set()
    await box.drain(5)
    assert to.batches == [[b"0"], [b"1"]]


async def test_a_failure_is_retried_until_it_works() -> None:
    to = Destination(AGAIN, AGAIN)
    box = outbox(to, batch={"max_spans": 1})
    await box.start()
    box.put(b"a", 1)
    async with asyncio.timeout(5):
        while not settled(box):
            await asyncio.sleep(0)
    assert to.taken == [b"a"]
    assert box.counters.retried == 2
    await box.drain(5)


async def test_retries_end_and_the_loss_is_counted() -> None:
    now = iter([0.0, 0.0, 400.0])
    to = Destination(*[AGAIN] * 9)
    queue = QueueConfig.model_validate({"num_consumers": 1, "batch": {"max_spans": 1}})
    box = Outbox("test", to.send, queue, QUICK, clock=lambda: next(now), dice=lambda: 0.5)
    await box.start()
    box.put(b"a", 1)
    async with asyncio.timeout(5):
        while not settled(box):
            await asyncio.sleep(0)
    assert (len(to.batches), box.counters.dropped_failed) == (2, 1)
    await box.drain(5)


async def test_a_refusal_is_not_retried() -> None:
    to = Destination(Reply("refused", "http_400"))
    box = outbox(to)
    box.put(b"a", 1)
    await box.start()
    await box.drain(5)
    assert (len(to.batches), box.counters.dropped_failed) == (1, 1)
    assert settled(box)


async def test_rejected_spans_of_an_accepted_batch_are_counted_and_not_sent_again() -> None:
    to = Destination(Reply("sent", rejected=2))
    box = outbox(to)
    for n in range(5):
        box.put(b"%d" % n, 1)
    await box.start()
    await box.drain(5)
    assert (box.counters.sent, box.counters.rejected, len(to.batches)) == (3, 2, 1)
    assert settled(box)


class SmallDestination(Destination):
    """Takes at most two bytes a request."""

    async def send(self, data: Sequence[bytes]) -> Reply:
        if sum(map(len, data)) > 2:
            self.batches.append(list(data))
            return Reply("too_large", "http_413")
        return await super().send(data)


async def test_what_is_too_large_is_halved_then_loses_its_content_then_is_given_up() -> None:
    to = SmallDestination()
    box = outbox(to)
    for data, core in ((b"a", 1), (b"bXXXX", 1), (b"c", 1), (b"dddd", 4), (b"e", 1)):
        box.put(data, core)
    await box.start()
    await box.drain(5)
    assert sorted(to.taken) == [b"a", b"b", b"c", b"e"]
    assert (box.counters.without_content, box.counters.dropped_failed) == (1, 1)
    assert settled(box)


async def test_a_senders_bug_loses_its_batch_and_nothing_else() -> None:
    to = Destination(KeyError("bug"))
    box = outbox(to, batch={"max_spans": 1})
    for n in range(2):
        box.put(b"%d" % n, 1)
    await box.start()
    await box.drain(5)
    assert to.taken == [b"1"]
    assert settled(box)


async def test_draining_sends_everything_once_without_retries() -> None:
    to = Destination(AGAIN)
    box = outbox(to, batch={"max_spans": 1})
    for n in range(3):
        box.put(b"%d" % n, 1)
    await box.start()
    await box.drain(5)
    assert to.taken == [b"1", b"2"]
    assert (box.counters.dropped_failed, box.counters.retried) == (1, 0)


async def test_draining_interrupts_a_long_wait_for_one_last_attempt() -> None:
    to = Destination(AGAIN)
    box = outbox(to, RetryConfig(), batch={"max_spans": 1})
    await box.start()
    box.put(b"a", 1)
    await to.reached.wait()
    await box.drain(5)
    assert to.taken == [b"a"]
    assert settled(box)


async def test_what_is_left_at_the_deadline_is_counted_once() -> None:
    to = Destination()
    to.gate.clear()
    box = outbox(to, num_consumers=2, batch={"max_spans": 1})
    await box.start()
    for n in range(5):
        box.put(b"%d" % n, 1)
    await to.reached.wait()
    await box.drain(0.01)
    assert box.counters.dropped_failed == 5
    assert settled(box)
    assert not box.put(b"late", 1)
    assert box.counters.dropped_full == 1


async def test_what_came_before_the_start_is_sent_too() -> None:
    to = Destination()
    box = outbox(to)
    box.put(b"a", 1)
    await box.start()
    await to.reached.wait()
    await box.drain(5)
    assert to.taken == [b"a"]


async def test_a_box_that_never_started_drains_at_once() -> None:
    box = outbox(Destination())
    box.put(b"a", 1)
    await box.drain(5)
    assert box.counters.dropped_failed == 1
    assert settled(box)


@pytest.mark.parametrize(
    "written", [{"num_consumers": 0}, {"queue_size": 0}, {"queue_size": 1000}, {"sizer": "spans"}, {"storage": "disk"}]
)
def test_a_queue_that_cannot_work_is_refused_at_start(written: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        QueueConfig.model_validate(written)
