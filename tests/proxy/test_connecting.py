"""A name with several addresses: one that is dead or silent does not cost the connection."""

import asyncio
import socket
from collections.abc import Awaitable, Iterator, Sequence
from typing import cast

import pytest
from aiohappyeyeballs import AddrInfoType

from gateway.proxy.connecting import ConnectError, Resolve, connected
from gateway.proxy.handler import ForwardProxy, Origin
from tests.proxy.conftest import Bench, listening
from tests.proxy.connect_proxy import ConnectProxy

NAMED = Origin("model.example", 443)


def resolving_to(*addresses: tuple[str, int]) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[AddrInfoType]:
        assert host.endswith(".example")
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)
            for address, number in addresses
            for where in [(address, number, 0, 0) if ":" in address else (address, number)]
        ]

    return resolve


@pytest.fixture
def dead() -> int:
    """A port where nobody listens."""
    with listening() as sock:
        port: int = sock.getsockname()[1]
    return port


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that answers no handshake: its backlog is full."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
    yield full.getsockname()[1]
    for sock in (full, *fillers):
        sock.close()


class Recorded(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)


async def peer(connecting: Awaitable[Recorded]) -> tuple[str, int]:
    """Whom we are connected to."""
    connection = await connecting
    where: tuple[str, int] = connection.transport.get_extra_info("peername")[:2]
    sock = connection.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    connection.transport.abort()
    return where


async def test_a_dead_address_of_the_other_family_is_passed_over(bench: Bench, dead: int) -> None:
    good = ("127.0.0.1", bench.upstream.port)
    assert await peer(connected(NAMED, 5.0, Recorded, resolving_to(("::1", dead), good))) == good


async def test_a_silent_address_is_not_waited_for(bench: Bench, silent: int) -> None:
    good = ("127.0.0.1", bench.upstream.port)
    assert await peer(connected(NAMED, 5.0, Recorded, resolving_to(("127.0.0.1", silent), good))) == good


async def test_the_families_take_turns(bench: Bench, dead: int) -> None:
    """Many dead addresses of one family do not come before the other one's first."""
    good = ("127.0.0.1", bench.upstream.port)
    many = [("::1", dead)] * 50
    assert await peer(connected(NAMED, 5.0, Recorded, resolving_to(*many, good))) == good


async def test_where_no_address_answers_it_is_one_error(dead: int) -> None:
    with pytest.raises(ConnectError) as caught:
        await connected(NAMED, 5.0, Recorded, resolving_to(("::1", dead), ("127.0.0.1", dead)))
    assert (caught.value.end, caught.value.error_type) == ("upstream_gone", "connect_error")


async def test_where_every_address_is_silent_it_ends_with_the_deadline(silent: int) -> None:
    with pytest.raises(ConnectError) as caught:
        await connected(NAMED, 0.4, Recorded, resolving_to(("127.0.0.1", silent), ("127.0.0.1", silent)))
    assert (caught.value.end, caught.value.error_type) == ("timeout", "connect_timeout")


async def test_a_resolver_that_hangs_is_within_the_deadline_too() -> None:
    async def never(host: str, port: int) -> Sequence[AddrInfoType]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(ConnectError) as caught:
        await connected(NAMED, 0.05, Recorded, never)
    assert caught.value.end == "timeout"


async def test_a_forward_proxys_name_is_raced_too_and_resolves_the_upstreams(bench: Bench, silent: int) -> None:
    async with ConnectProxy() as proxy:
        origin = Origin("model.example", bench.upstream.port, proxy=ForwardProxy("proxy.example", 3128))
        resolve = resolving_to(("127.0.0.1", silent), ("127.0.0.1", proxy.port))
        assert await peer(connected(origin, 5.0, Recorded, resolve)) == ("127.0.0.1", proxy.port)
        assert proxy.asked[0].startswith(b"CONNECT model.example:%d HTTP/1.1\r\n" % bench.upstream.port)
