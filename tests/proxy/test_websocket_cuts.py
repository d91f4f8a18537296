"""Properties of what understands a WebSocket: however the network cuts it, the same bytes leave, the same is understood."""

import asyncio
import zlib
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate

from gateway.model.exchange import Exchange, Refusal
from gateway.proxy.handler import Origin
from gateway.proxy.limits import Limits
from gateway.proxy.server import ProxyServer
from gateway.proxy.websocket import Tunnel
from gateway.proxy.websocket_copy import MOST_FRAMES, Copy, Message
from gateway.proxy.websocket_frames import FrameCutter, Piece, frame, unmasked
from tests.proxy.conftest import RecordingHandler, RecordingTalk

KEY = b"\x01\x02\x03\x04"


def masked_frame(opcode: int, payload: bytes, fin: bool = True, rsv1: bool = False) -> bytes:
    """With a mask that is always the same, so that examples shrink."""
    plain = frame(opcode, payload)
    head = plain[: len(plain) - len(payload)]
    first = (opcode | 0x80 * fin) | 0x40 * rsv1
    return bytes((first, head[1] | 0x80)) + head[2:] + KEY + unmasked(payload, KEY)


texts = st.text(max_size=40).map(str.encode) | st.just(b"ask no") | st.just(b"ask yes") | st.just(b"x" * 70000)
controls = st.sampled_from([masked_frame(0x9, b"ping"), masked_frame(0xA, b"")])


@st.composite
def conversations(draw: st.DrawFn, deflated: bool = False) -> tuple[bytes, list[bytes]]:
    """Frames as a client sends them, messages in fragments with pings between, and what they say."""
    deflate = zlib.compressobj(wbits=-15)
    said, sent = [], b""
    for text in draw(st.lists(texts, max_size=6)):
        compressed = deflated and draw(st.booleans())
        payload = deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH) if compressed else text
        payload = payload[:-4] if compressed else payload
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=2)))
        bounds = [0, *cuts, len(payload)]
        for index, (begin, end) in enumerate(pairwise(bounds)):
            first, last = index == 0, index == len(bounds) - 2
            sent += masked_frame(0x1 if first else 0x0, payload[begin:end], last, compressed and first)
            if draw(st.booleans()):
                sent += draw(controls)
        said.append(text)
    return sent, said


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(min(each, len(data)) for each in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(bounds) if end > begin]


places = st.lists(st.integers(0, 400), max_size=12)


def understood(pieces: list[bytes], extensions: bytes, keep: int = 1 << 20) -> tuple[list[Message], str, bytes]:
    copy, cutter = Copy(True, extensions, keep, 1 << 22), FrameCutter()
    messages, raw = [], b""
    for data in pieces:
        for piece in cutter.feed(data):
            raw += piece.raw
            message = copy.feed(piece)
            if message is not None:
                messages.append(message)
    return messages, copy.lost, raw


@given(conversations(), places)
def test_messages_are_the_same_however_they_are_cut(talk: tuple[bytes, list[bytes]], cuts: list[int]) -> None:
    sent, said = talk
    messages, lost, raw = understood(cut(sent, cuts), b"")
    assert (messages, lost, raw) == ([Message(text, True) for text in said], "", sent)


@given(conversations(deflated=True), places, st.sampled_from([b"", b"; client_max_window_bits=15", b'; x="1"']))
def test_deflated_ones_too_also_with_pings_inside(
    talk: tuple[bytes, list[bytes]], cuts: list[int], parameters: bytes
) -> None:
    sent, said = talk
    messages, lost, raw = understood(cut(sent, cuts), b"permessage-deflate" + parameters)
    assert (messages, lost, raw) == ([Message(text, True) for text in said], "", sent)


@given(conversations(deflated=True), st.sampled_from([b"\xff", b"\xe2\x82", b"a\xed\xa0\x80"]), conversations(), places)
def test_bad_utf_8_spoils_one_message_however_it_is_cut(
    before: tuple[bytes, list[bytes]], bad: bytes, after: tuple[bytes, list[bytes]], cuts: list[int]
) -> None:
    for spoilt in (masked_frame(0x1, bad), masked_frame(0x1, bad[:1], False) + masked_frame(0x0, bad[1:])):
        messages, lost, _ = understood(cut(before[0] + spoilt + after[0], cuts), b"permessage-deflate")
        said = [Message(text, True) for text in before[1]], [Message(text, True) for text in after[1]]
        assert (messages, lost) == ([*said[0], Message(bad, True, False), *said[1]], "")


def test_a_text_that_is_cut_where_no_more_is_kept_is_none_the_worse() -> None:
    for text, sound in (("\u20ac" * 10).encode(), True), (b"a" * 20 + b"\xff", False):
        messages, _, _ = understood([masked_frame(0x1, text)], b"", keep=10)
        assert messages == [Message(text[:10], False, sound)]
    assert understood([masked_frame(0x2, b"\xff")], b"")[0] == [Message(b"\xff", True, True)]


@given(st.binary(max_size=300), places)
def test_garbage_means_the_same_nothing_however_it_is_cut(garbage: bytes, cuts: list[int]) -> None:
    whole, pieces = understood([garbage], b""), understood(cut(garbage, cuts), b"")
    assert whole[:2] == pieces[:2]
    assert garbage.startswith(pieces[2])


def test_an_inflated_message_is_bounded() -> None:
    deflate = zlib.compressobj(wbits=-15)
    bomb = (deflate.compress(bytes(50_000_000)) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    messages, lost, _ = understood([masked_frame(0x2, bomb, rsv1=True)], b"permessage-deflate", keep=1000)
    assert (messages, lost) == ([], "oversized_message")


def deflated(*texts: bytes) -> bytes:
    """A message each, in a context of their own."""
    sent = b""
    for text in texts:
        deflate = zlib.compressobj(wbits=-15)
        payload = (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        sent += masked_frame(0x2, payload, rsv1=True)
    return sent


OWN_CONTEXT = b"permessage-deflate; client_no_context_takeover"


class CountingInflater(PerMessageDeflate):
    """Counts what it makes."""

    made = 0

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> Any:
        inflated = super().frame_inbound_payload_data(proto, data)
        CountingInflater.made += len(cast(bytes, inflated))
        return inflated


def test_what_little_becomes_very_much_is_not_inflated_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.proxy.websocket_copy.PerMessageDeflate", CountingInflater)
    bomb = deflated(bytes(50_000_000))
    copy, cutter, made = Copy(True, OWN_CONTEXT, 1 << 20, 1 << 26), FrameCutter(), CountingInflater.made
    assert [copy.feed(piece) for piece in cutter.feed(bomb)] == [None]
    assert copy.lost == "oversized_message"
    assert 1 << 20 < CountingInflater.made - made < 12_000_000


def test_many_messages_that_become_much_share_what_they_may() -> None:
    half = deflated(bytes(500_000)) * 4
    messages, lost, _ = understood([half], OWN_CONTEXT)
    assert (len(messages), lost) == (2, "oversized_message")


def test_silence_without_end_and_long_text_are_understood() -> None:
    silence = deflated(b"A" * 60_000) * 500
    messages, lost, _ = understood([silence], OWN_CONTEXT)
    assert (len(messages), lost) == (500, "")
    words = b"".join(b'{"id": "%x", "text": "the same words again"}' % (number * 7919) for number in range(20_000))
    messages, lost, _ = understood([deflated(*[words] * 10)], OWN_CONTEXT)
    assert ([message.data for message in messages], lost) == ([words] * 10, "")


@pytest.mark.parametrize("payload", [b"", b"a"])
def test_a_message_has_only_so_many_frames(payload: bytes) -> None:
    def message(count: int) -> bytes:
        return masked_frame(1, b"x", False) + masked_frame(0, payload, False) * (count - 2) + masked_frame(0, b"y")

    most = Message(b"x" + payload * (MOST_FRAMES - 2) + b"y", True)
    assert understood([message(MOST_FRAMES) * 2], b"")[:2] == ([most, most], "")
    assert understood([message(MOST_FRAMES + 1)], b"")[:2] == ([], "too_many_frames")


def test_frames_without_content_are_counted_and_not_kept() -> None:
    copy, cutter = Copy(True, b"", 1 << 20, 1 << 22), FrameCutter()
    for piece in cutter.feed(masked_frame(1, b"", False) + masked_frame(0, b"", False) * 10_000):
        assert copy.feed(piece) is None
    assert len(copy._kept) == 0


@pytest.mark.parametrize(
    "extensions",
    [
        b"x-webkit-deflate-frame",
        b"permessage-deflate, permessage-deflate",
        b"permessage-deflate; client_max_window_bits=many",
    ],
)
def test_extensions_that_are_not_known_are_not_guessed_at(extensions: bytes) -> None:
    assert understood([masked_frame(0x1, b"hello")], extensions)[:2] == ([], "unknown_extension")


class FakeTransport:
    """Writes are kept; nothing is read."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def relayed(pieces: list[bytes], holding: bool) -> tuple[bytes, bytes, RecordingTalk]:
    """What reaches the upstream, what the client is told, and what was understood."""

    def ready(exchange: Exchange) -> None:
        if exchange.target.endswith("no"):
            exchange.refusal = Refusal(403, "blocked_by_policy", "no")

    handler = RecordingHandler(Origin("", 0))
    handler.holding, handler.on_ready = holding, ready
    tunnel, client, upstream, talk = between_fakes(handler)
    for piece in pieces:
        tunnel.from_client(piece)
    return bytes(upstream.written), bytes(client.written), talk


def between_fakes(handler: RecordingHandler) -> tuple[Tunnel, FakeTransport, FakeTransport, RecordingTalk]:
    server = SimpleNamespace(
        handler=handler,
        limits=Limits(),
        connections=set(),
        tunnels=set(),
        draining=False,
        pool=SimpleNamespace(now=0.0),
    )
    client, upstream, talk = FakeTransport(), FakeTransport(), RecordingTalk(handler)
    tunnel = Tunnel(cast(ProxyServer, server), cast(Any, client), cast(Any, upstream), talk, b"")
    tunnel.begin(b"", b"")
    return tunnel, client, upstream, talk


@given(conversations(), places)
def test_every_byte_passes_however_it_is_cut(talk: tuple[bytes, list[bytes]], cuts: list[int]) -> None:
    sent, said = talk
    passed, told, heard = relayed(cut(sent, cuts), holding=False)
    assert (passed, told) == (sent, b"")
    assert [text for text, _ in heard.client] == said


broken = st.sampled_from(
    [
        frame(0x1, b"no mask"),
        masked_frame(0x1, b"a reserved bit", rsv1=True),
        masked_frame(0x4, b"a reserved opcode"),
        masked_frame(0x1, b"the beginning of one in two frames, and ", False) + masked_frame(0x1, b"another"),
        b"\x89\xfe\x00\x80" + KEY,
    ]
)


@given(conversations(), broken, conversations(), places)
def test_what_is_no_message_is_told_as_it_was_said_however_it_is_cut(
    before: tuple[bytes, list[bytes]], bad: bytes, after: tuple[bytes, list[bytes]], cuts: list[int]
) -> None:
    sent = before[0] + bad + after[0]
    passed, _, heard = relayed(cut(sent, cuts), holding=False)
    assert passed == sent
    assert [text for text, _ in heard.client] == before[1]
    assert heard.unread == relayed([sent], holding=False)[2].unread
    if bad[0] == 0x89:
        assert heard.unread == bad + after[0]
    else:
        assert heard.unread.endswith(b"".join(after[1]))
        assert any(said in heard.unread for said in (b"no mask", b"a reserved", b"two frames, and another"))


@given(conversations(), places)
def test_the_same_is_kept_back_however_it_is_cut(talk: tuple[bytes, list[bytes]], cuts: list[int]) -> None:
    sent, said = talk
    passed, told, heard = relayed(cut(sent, cuts), holding=True)
    assert (passed, told) == relayed([sent], holding=True)[:2]
    assert [message.data for message in understood([passed], b"")[0]] == [text for text in said if text != b"ask no"]
    assert told.count(b"refused") == said.count(b"ask no")
    assert [text for text, _ in heard.client] == said


@given(st.binary(max_size=300), places)
def test_garbage_passes_byte_for_byte(garbage: bytes, cuts: list[int]) -> None:
    passed, _, _ = relayed(cut(garbage, cuts), holding=False)
    assert passed == garbage


MANY = 5000


@pytest.mark.parametrize("holding", [True, False])
async def test_very_many_frames_take_several_turns_of_the_loop(holding: bool) -> None:
    handler = RecordingHandler(Origin("", 0))
    handler.holding = holding
    tunnel, client, upstream, talk = between_fakes(handler)
    sent = masked_frame(0x1, b"x") * MANY
    tunnel.from_client(sent)
    seen = len(talk.client)
    assert 0 < seen < MANY / 10
    assert [client.reading] == [False]
    turns = 0
    async with asyncio.timeout(60):
        while seen < MANY:
            await asyncio.sleep(0)
            turns += 1
            assert len(talk.client) - seen < MANY / 10
            seen = len(talk.client)
    assert bytes(upstream.written) == sent
    assert turns > 10
    await asyncio.sleep(0)
    assert [client.reading] == [True]


class CountingCutter(FrameCutter):
    """Counts the pieces that it makes."""

    made = 0

    def feed(self, data: bytes) -> list[Piece]:
        pieces = super().feed(data)
        CountingCutter.made += len(pieces)
        return pieces


@pytest.mark.parametrize("holding", [True, False])
@pytest.mark.parametrize("one", [masked_frame(0x9, b""), frame(0x1, b"not masked")])
async def test_what_comes_at_once_is_cut_a_little_at_a_time(
    monkeypatch: pytest.MonkeyPatch, one: bytes, holding: bool
) -> None:
    monkeypatch.setattr("gateway.proxy.websocket_way.FrameCutter", CountingCutter)
    handler = RecordingHandler(Origin("", 0))
    handler.holding = holding
    tunnel, client, upstream, _ = between_fakes(handler)
    many = (1 << 18) // len(one)
    made = CountingCutter.made
    tunnel.from_client(one * many)
    assert [client.reading] == [False]
    async with asyncio.timeout(60):
        while not (client.reading or client.closed):
            assert CountingCutter.made - made <= 6000
            made = CountingCutter.made
            await asyncio.sleep(0)
    assert (bytes(upstream.written) == one * many) == (one[0] == 0x89 or not holding)


async def test_a_refusal_waits_for_an_upstreams_frames_that_are_looked_at_over_several_turns() -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.refusal = Refusal(403, "blocked_by_policy", "no")

    handler = RecordingHandler(Origin("", 0))
    handler.holding, handler.on_ready = True, refuse
    tunnel, client, upstream, _ = between_fakes(handler)
    many = (b"\x01\x00" + b"\x80\x00") * MANY
    tunnel.from_upstream(many + b"\x01\x00")
    tunnel.from_client(masked_frame(0x1, b"ask no"))
    async with asyncio.timeout(60):
        while not upstream.reading:
            assert b"refused" not in client.written
            await asyncio.sleep(0)
    tunnel.from_upstream(b"\x80\x00" + many)
    assert bytes(client.written) == many + b"\x01\x00" + b"\x80\x00" + frame(0x1, b"refused") + many


async def test_what_passed_before_the_end_is_understood_or_counted() -> None:
    for many in (200, MANY):
        tunnel, _, upstream, talk = between_fakes(RecordingHandler(Origin("", 0)))
        one = masked_frame(0x1, b"x")
        tunnel.from_client(one * many)
        tunnel.break_off("shutdown", "shutdown", 1001)
        assert len(talk.client) * len(one) + talk.lost == many * len(one)
        assert upstream.written.startswith(one * many)
        assert (len(talk.client) == many) == (many == 200)


async def test_what_waits_to_be_read_goes_nowhere_once_it_is_over() -> None:
    handler = RecordingHandler(Origin("", 0))
    handler.holding = True
    tunnel, _, upstream, talk = between_fakes(handler)
    tunnel.from_client(masked_frame(0x1, b"x") * MANY)
    tunnel.break_off("shutdown", "shutdown", 1001)
    passed, seen = bytes(upstream.written), len(talk.client)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (bytes(upstream.written), len(talk.client)) == (passed, seen)


def test_a_refusal_stands_between_messages_also_where_one_in_fragments_comes_at_once() -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.refusal = Refusal(403, "blocked_by_policy", "no")

    handler = RecordingHandler(Origin("", 0))
    handler.holding, handler.on_ready = True, refuse
    tunnel, client, _, _ = between_fakes(handler)
    one, two, three = b"\x01\x01a", b"\x00\x01b", b"\x80\x01c"
    tunnel.from_upstream(one)
    tunnel.from_client(masked_frame(0x1, b"ask no"))
    tunnel.from_upstream(two + three + one + three)
    assert bytes(client.written) == one + two + three + frame(0x1, b"refused") + one + three


@pytest.mark.parametrize("holding", [True, False])
async def test_a_client_that_does_not_read_its_refusals_is_read_no_further(holding: bool) -> None:
    handler = RecordingHandler(Origin("", 0))
    handler.holding = holding
    _, client, upstream, _ = between_fakes(handler)
    client.protocol.pause_writing()
    assert [client.reading, upstream.reading] == [not holding, False]
    client.protocol.resume_writing()
    assert [client.reading, upstream.reading] == [True, True]


def test_refusals_that_cannot_be_said_yet_are_bounded() -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.refusal = Refusal(403, "blocked_by_policy", "no")

    handler = RecordingHandler(Origin("", 0))
    handler.holding, handler.on_ready = True, refuse
    tunnel, client, _, _ = between_fakes(handler)
    tunnel.from_upstream(b"\x01\x01a")
    said = 0
    while client.reading:
        tunnel.from_client(masked_frame(0x1, b"ask no"))
        said += 1
    assert 0 < said < 100
    tunnel.from_upstream(b"\x80\x01c")
    assert bytes(client.written).count(b"refused") == said
    assert [client.reading] == [True]
