"""Every engine for session state runs through the same suite, `test_contract.py`."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from gateway.contracts import NetworkState, SessionState
from gateway.state.fallback import FallbackState
from gateway.state.lmdb import LmdbState
from gateway.state.lmdb_file import StateFileError
from gateway.state.memory import MemoryState
from gateway.state.patience import PatientState
from gateway.state.valkey import ValkeyState
from gateway.state.valkey_url import ValkeyUrl
from tests.state.valkey_servers import DEADLINE_S, PROGRAMS, Cluster, Server

SECRET = b"secret"
"""Of engines that take one."""


def memory(folder: Path) -> SessionState:
    return MemoryState(45.0, 86400.0)


def lmdb(folder: Path) -> LmdbState:
    return LmdbState(folder, SECRET, 45.0, 86400.0)


def lmdb_with_memory_behind_it(folder: Path) -> SessionState:
    return FallbackState(lambda wait_s: lmdb(folder), StateFileError, MemoryState(45.0, 86400.0))


ENGINES: dict[str, Callable[[Path], SessionState]] = {
    "memory": memory,
    "lmdb": lmdb,
    "lmdb for several workers": lambda folder: PatientState(lmdb(folder), [0.0]),
    "lmdb with memory behind it": lmdb_with_memory_behind_it,
}
"""How to open each one, empty, with a window of 45 s and closing after 24 h. A new engine is a line here; the folder is
for one that needs files. Those on a network are in `SERVERS`."""

SERVERS: dict[str, Callable[[], Server | Cluster]] = {
    **{name: partial(Server, path) for name, path in PROGRAMS.items()},
    "valkey cluster": partial(Cluster, PROGRAMS["valkey"]),
}


class Servers:
    """Started when a test first asks for one; empty for each test."""

    def __init__(self) -> None:
        self._started: dict[str, Server | Cluster] = {}

    def empty(self, name: str) -> ValkeyUrl:
        if name not in self._started:
            self._started[name] = SERVERS[name]()
        for node in self.nodes(name):
            with node.client() as client:
                client.flushall()
        return self._started[name].place

    def nodes(self, name: str) -> list[Server]:
        server = self._started[name]
        return [server] if isinstance(server, Server) else server.nodes

    def cluster(self, name: str) -> Cluster:
        cluster = self._started[name]
        assert isinstance(cluster, Cluster)
        return cluster

    def names(self, name: str) -> list[bytes]:
        """Of all that is in it."""
        return [key for node in self.nodes(name) for key in node.names()]

    def counts(self, name: str) -> list[int]:
        """How much, by node."""
        return [len(node.names()) for node in self.nodes(name)]

    def expires_ms(self, name: str, key: bytes) -> int:
        """Negative: never."""
        return max(node.expires_ms(key) for node in self.nodes(name) if key in node.names())

    def spoil(self) -> None:
        """Something else is under every name that a test has used."""
        for name in self._started:
            for node in self.nodes(name):
                node.spoil()

    def close(self) -> None:
        for server in self._started.values():
            server.close()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.close()


def on_network(place: ValkeyUrl) -> ValkeyState:
    """It answers in time, however busy the machine is."""
    return ValkeyState(place, SECRET, 45.0, 86400.0, wait_s=DEADLINE_S, patience_s=(0.0,))


@pytest.fixture(params=sorted([*ENGINES, *SERVERS]))
async def state(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> AsyncIterator[SessionState]:
    name = request.param
    state = ENGINES[name](tmp_path) if name in ENGINES else on_network(servers.empty(name))
    if isinstance(state, NetworkState):
        await state.start(lambda secret: None)
    yield state
    closing = state.close()
    if closing is not None:
        await closing
