"""What workers send arrives once and in order, whatever happens to the control plane."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import uvloop

from gateway.link.frames import PROTOCOL_VERSION, Ack, FrameDecoder, Hello, framed
from gateway.link.server import LinkServer
from gateway.link.uplink import SentMessages, Uplink, UplinkLimits
from tests.link.conftest import ControlPlane
from tests.link.fakes import Sink, a_message, a_record


async def test_records_arrive_in_order_and_are_acknowledged(
    uplink: Uplink, control_plane: ControlPlane, sink: Sink
) -> None:
    control_plane(sink)
    for number in range(50):
        uplink.send(a_record(str(number)))
    await uplink.drain(10)
    assert sink.ids == [str(number) for number in range(50)]
    assert uplink.counters()["sent"] == 50
    assert uplink.counters()["queue_items"] == uplink.counters()["queue_bytes"] == 0


async def test_a_killed_control_plane_loses_nothing(uplink: Uplink, control_plane: ControlPlane) -> None:
    first, second = Sink(), Sink()
    first.storing = False
    killed = control_plane(first)
    uplink.send(a_record("a"))
    await first.arrived(1)
    uplink.send(a_record("b"))
    await killed.stop()
    uplink.send(a_record("c"))
    control_plane(second)
    await uplink.drain(10)
    assert second.ids == ["a", "b", "c"]
    assert uplink.counters()["sent"] == 3
    assert uplink.counters()["retried"] >= 1


async def test_what_was_acknowledged_is_not_sent_to_the_replacement(
    uplink: Uplink, control_plane: ControlPlane
) -> None:
    first, second = Sink(), Sink()
    killed = control_plane(first)
    uplink.send(a_record("a"))
    await _counted(uplink, "sent", 1)
    await killed.stop()
    control_plane(second)
    uplink.send(a_record("b"))
    await uplink.drain(10)
    assert (first.ids, second.ids) == (["a"], ["b"])


async def test_connections_queue_while_there_is_no_control_plane(
    uplink: Uplink, control_plane: ControlPlane, sink: Sink
) -> None:
    uplink.send(a_record("early"))
    await _counted(uplink, "connections", 1)
    control_plane(sink)
    await uplink.drain(10)
    assert sink.ids == ["early"]


async def test_a_message_is_remembered_until_the_connection_goes(
    uplink: Uplink, control_plane: ControlPlane, sink: Sink
) -> None:
    server = control_plane(sink)
    await _counted(uplink, "connections", 1)
    message = a_message("hello")
    uplink.send(a_record("a", messages=(message,)))
    assert message.digest in uplink.sent
    await _counted(uplink, "sent", 1)
    await server.stop()
    await _counted(uplink, "connections", 2)
    assert message.digest not in uplink.sent


def test_sent_messages_are_bounded_and_forgotten_every_day() -> None:
    sent = SentMessages(limit=2)
    for digest in (b"a", b"b", b"c"):
        sent.remember(digest)
    assert list(sent) == [b"b", b"c"]
    sent.forget_yesterday(86400 * 10)
    sent.remember(b"d")
    sent.forget_yesterday(86400 * 10 + 86399)
    assert b"d" in sent
    sent.forget_yesterday(86400 * 11)
    assert b"d" not in sent


async def test_a_record_that_no_frame_can_carry_is_counted_and_holds_up_nothing(
    uplink: Uplink, control_plane: ControlPlane, sink: Sink
) -> None:
    control_plane(sink)
    giant = msgspec.structs.replace(a_record("giant"), input_digests=bytes(40 << 20))
    for record in (a_record("a"), giant, a_record("b")):
        uplink.send(record)
    await uplink.drain(10)
    assert sink.ids == ["a", "b"]
    assert (uplink.counters()["failed"], uplink.counters()["queue_bytes"]) == (1, 0)


async def test_a_full_queue_drops_the_newest_and_counts(tmp_path: Path) -> None:
    uplink = Uplink(str(tmp_path / "nobody"), "w", UplinkLimits(queue_bytes=2000, batch_bytes=400))
    for number in range(20):
        uplink.send(a_record(str(number), messages=(a_message(f"message {number}"),)))
    counters = uplink.counters()
    assert counters["accepted"] + counters["dropped"] == 20
    assert counters["dropped"] > 0
    assert counters["queue_bytes"] < 2000 + 500
    assert a_message("message 19").digest not in uplink.sent, "what was dropped has not been sent"
    await uplink.drain(0)
    assert uplink.counters()["dropped"] == 20


async def test_what_cannot_be_encoded_is_counted_and_harms_nobody(
    uplink: Uplink, control_plane: ControlPlane, sink: Sink
) -> None:
    control_plane(sink)
    uplink.send(a_record("a"))
    uplink.send(a_record("b", model="\ud800"))
    uplink.send(a_record("c", input_tokens=2**70))
    uplink.send(a_record("d"))
    await uplink.drain(10)
    assert sink.ids == ["a", "d"]
    assert uplink.counters()["failed"] == 2


async def test_no_more_than_a_window_is_under_way(
    listening: socket.socket, control_plane: ControlPlane, sink: Sink
) -> None:
    sink.storing = False
    control_plane(sink)
    uplink = Uplink(listening.getsockname(), "w", UplinkLimits(batch_bytes=1, window=2))
    uplink.start()
    for number in range(5):
        uplink.send(a_record(str(number)))
    await sink.arrived(2)
    assert sink.ids == ["0", "1"]
    sink.held[0]()
    await sink.arrived(3)
    assert sink.ids == ["0", "1", "2"]
    sink.storing = True
    for stored in sink.held[1:]:
        stored()
    await uplink.drain(10)
    assert sink.ids == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "first",
    [framed(Hello("w", PROTOCOL_VERSION + 1)), framed(Ack(1)), b"GET / HTTP/1.1\r\n\r\n"],
    ids=["another version", "no hello", "another protocol"],
)
async def test_whoever_does_not_speak_our_protocol_is_shown_out(
    first: bytes, listening: socket.socket, control_plane: ControlPlane, sink: Sink
) -> None:
    server = control_plane(sink)
    reader, writer = await asyncio.open_unix_connection(listening.getsockname())
    writer.write(first)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    assert server.refused == 1
    writer.close()


async def test_the_server_knows_its_workers(uplink: Uplink, control_plane: ControlPlane, sink: Sink) -> None:
    server = control_plane(sink)
    uplink.send(a_record())
    await _counted(uplink, "sent", 1)
    assert server.workers == {"worker-1": 1}
    await uplink.drain(1)
    await _until(lambda: not server.workers)


def test_the_link_works_on_uvloop(listening: socket.socket) -> None:
    async def there_and_back() -> list[str]:
        sink = Sink()
        server = LinkServer(sink)
        server.start(listening)
        uplink = Uplink(listening.getsockname(), "w", UplinkLimits(batch_s=0.0))
        uplink.start()
        uplink.send(a_record("a"))
        await uplink.drain(10)
        await server.pause()
        await server.stop()
        return sink.ids

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(there_and_back()) == ["a"]
    assert Path(listening.getsockname()).exists(), "the next control plane is expected there"


async def test_an_acknowledgement_is_for_everything_before_it(listening: socket.socket) -> None:
    decoder = FrameDecoder()
    seen: list[bytes] = []

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(seen) < 4:
            seen.extend(decoder.feed(await reader.read(65536)))
        writer.write(framed(Ack(3)))
        await writer.drain()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    gone = asyncio.Event()
    server = await asyncio.start_unix_server(control, sock=listening.dup())
    uplink = Uplink(listening.getsockname(), "w", UplinkLimits(batch_bytes=1))
    uplink.start()
    for number in range(3):
        uplink.send(a_record(str(number)))
    await uplink.drain(10)
    assert uplink.counters()["sent"] == 3
    await gone.wait()
    server.close()


async def _counted(uplink: Uplink, counter: str, value: int) -> None:
    await _until(lambda: uplink.counters()[counter] >= value)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_what_a_worker_does_without_is_known_until_it_is_over_or_the_worker_leaves(
    uplink: Uplink, control_plane: ControlPlane
) -> None:
    uplink.say_trouble("no state")
    killed = control_plane(Sink())
    await _until(lambda: killed.troubles == {"worker-1": "no state"})
    uplink.say_trouble("")
    await _until(lambda: not killed.troubles)
    uplink.say_trouble("a full disk")
    await _until(lambda: killed.troubles == {"worker-1": "a full disk"})
    await killed.stop()
    replacement = control_plane(Sink())
    await _until(lambda: replacement.troubles == {"worker-1": "a full disk"})
    await uplink.drain(1)
    await _until(lambda: not replacement.workers)
    assert replacement.troubles == {}
