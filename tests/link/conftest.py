"""A control plane that can be killed and replaced, and a worker's uplink to it."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway.link.server import LinkServer
from gateway.link.uplink import Uplink, UplinkLimits
from tests.link.fakes import Sink


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that the supervisor keeps while control planes come and go."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen()
        yield listening


ControlPlane = Callable[[Sink], LinkServer]


@pytest.fixture
async def control_plane(listening: socket.socket) -> AsyncIterator[ControlPlane]:
    servers: list[LinkServer] = []

    def start(sink: Sink) -> LinkServer:
        server = LinkServer(sink)
        server.start(listening)
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def uplink(listening: socket.socket) -> AsyncIterator[Uplink]:
    uplink = Uplink(listening.getsockname(), "worker-1", UplinkLimits(batch_s=0.0, backoff_s=0.001))
    uplink.start()
    yield uplink
    await uplink.drain(0)


@pytest.fixture
async def sink() -> Sink:
    return Sink()
