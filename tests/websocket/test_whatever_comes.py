"""Whatever a client and an upstream say, in frames cut anywhere: every exchange ends once, and what is kept is bounded."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts import Spoken
from gateway.model.exchange import Captured, Exchange, Refusal
from gateway.providers.openai_realtime_socket import RealtimeSocket
from gateway.providers.openai_responses_socket import ResponsesSocket
from gateway.proxy.limits import Limits
from gateway.proxy.server import ProxyServer
from gateway.proxy.websocket import Tunnel
from gateway.proxy.websocket_frames import frame
from gateway.receivers.websocket import UnderstoodTalk
from tests.proxy.test_websocket_cuts import FakeTransport, cut, masked_frame

CAPTURE = 200
ASKED = [
    b'{"type":"response.create","response":{}}',
    b'{"type":"response.create","input":"no"}',
    b'{"type":"response.steer","input":"x"}',
    b'{"type":"session.update","session":{}}',
    b'{"type":"input_audio_buffer.append","audio":"AAAA\xed\xa0\x80"}',
    b'{"type":"response.create","input":"\xff"}',
    b"no event",
    b"",
    b"y" * 2 * CAPTURE,
]
SAID = [
    b'{"type":"response.created","response":{"id":"r"}}',
    b'{"type":"response.output_text.delta","response_id":"r","delta":"\xff"}',
    b'{"type":"response.completed","response":{"id":"r"}}',
    b'{"type":"response.done","response":{"id":"r"}}',
    b'{"type":"error","error":{}}',
    b"no event",
]


def plain_frame(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    whole = frame(opcode, payload)
    return bytes((opcode | 0x80 * fin,)) + whole[1:]


def frames(texts: list[bytes], masked: bool) -> st.SearchStrategy[bytes]:
    make = masked_frame if masked else plain_frame
    whole = st.sampled_from(texts).map(lambda text: make(0x1, text))
    halves = st.sampled_from(texts).map(lambda text: make(0x1, text[:9], False) + make(0x9, b"") + make(0x0, text[9:]))
    odd = st.binary(max_size=8) | st.builds(make, st.integers(0, 15), st.binary(max_size=8), st.booleans())
    return whole | whole | halves | odd


talks = st.lists(
    st.tuples(st.just("up"), frames(ASKED, True)) | st.tuples(st.just("down"), frames(SAID, False)), max_size=12
)


class Watch:
    """The handler's part: refuses what says "no", and remembers what ended."""

    def __init__(self) -> None:
        self.asked: list[Exchange] = []
        self.ended: list[Exchange] = []

    def ready(self, exchange: Exchange) -> None:
        assert exchange not in self.ended
        self.asked.append(exchange)
        if b"no" in exchange.request_body.joined():
            exchange.refusal = Refusal(403, "blocked_by_policy", "stop")

    def end(self, exchange: Exchange) -> None:
        assert exchange not in self.ended
        self.ended.append(exchange)


@pytest.mark.parametrize("spoken", [ResponsesSocket(), RealtimeSocket()], ids=["responses", "realtime"])
@pytest.mark.parametrize("held", [True, False])
@given(talks, st.lists(st.integers(0, 200), max_size=6))
def test_each_exchange_is_asked_about_and_ends_once(
    spoken: Spoken, held: bool, said: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    watch, client, upstream = Watch(), FakeTransport(), FakeTransport()
    failures = {"websocket": 0}
    server = SimpleNamespace(
        handler=watch,
        limits=Limits(capture=CAPTURE, body=2 * CAPTURE),
        connections=set(),
        tunnels=set(),
        draining=False,
        pool=SimpleNamespace(now=0.0, failures=failures),
        connection_closed=lambda: None,
    )
    handshake = Exchange("first", 0, "GET", "/", [], Captured(CAPTURE), b"t" * 16, b"s" * 8)
    talk = UnderstoodTalk(handshake, spoken.dialogue(held), held, watch.end, lambda name: None)
    tunnel = Tunnel(cast(ProxyServer, server), cast(Any, client), cast(Any, upstream), talk, b"")
    tunnel.begin(b"", b"")
    sent = b""
    for side, data in said:
        for part in cut(data, cuts):
            sent += part if side == "up" else b""
            (tunnel.from_client if side == "up" else tunnel.from_upstream)(part)
    assert held or (bytes(upstream.written) == sent and not client.closed)
    tunnel.lost(tunnel._up)
    tunnel.lost(tunnel._down)
    assert failures["websocket"] == 0
    assert sorted(map(id, watch.asked)) == sorted(map(id, watch.ended))
    assert not talk.busy
    for exchange in watch.ended:
        assert exchange.end is not None
        assert exchange.request_body.kept <= CAPTURE
        if held and b"no" in exchange.request_body.joined():
            assert exchange.end == "blocked"
