"""The questions that are asked of a Valkey or Redis, one or a cluster. Knows no sessions.

The library follows moved slots, finds out about nodes that failed over, and connects again.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnectedError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from gateway.state.valkey_records import SESSION_PREFIX, Change
from gateway.state.valkey_url import ValkeyUrl

_AT_ONCE = 64
"""Connections to a node: the library takes one a question."""
_PROBE_MS = 1

# Compares all, and if all is as expected writes all; else it says what is there. Four arguments a key: "=" to compare,
# what is expected, for how many milliseconds to keep what is new (0: as it is, -1: delete), what is new.
_COMMIT = """
local there = redis.call('MGET', unpack(KEYS))
for i = 1, #KEYS do
  if ARGV[4 * i - 3] == '=' and (there[i] or '') ~= ARGV[4 * i - 2] then return there end
end
for i = 1, #KEYS do
  local ms = ARGV[4 * i - 1]
  if ms == '-1' then redis.call('DEL', KEYS[i])
  elseif ms ~= '0' then redis.call('SET', KEYS[i], ARGV[4 * i], 'PX', ms) end
end
return 1
"""
# What is there, and for the first so many keys, which are pointers, the sessions that they lead to. Not in a cluster.
_LOOK = """
local found, all = redis.call('MGET', unpack(KEYS)), {}
for i = 1, #KEYS do
  all[2 * i - 1], all[2 * i] = found[i], false
  if found[i] and i <= tonumber(ARGV[1]) then
    local ok, pointer = pcall(cmsgpack.unpack, found[i])
    if ok and type(pointer) == 'table' and type(pointer[1]) == 'string' then
      all[2 * i] = redis.call('MGET', ARGV[2] .. pointer[1])[1]
    end
  end
end
return all
"""
FAILURES = (RedisError, OSError, TimeoutError)

Client: TypeAlias = Any
"""`Redis` or `RedisCluster`: the library types neither's answers."""


class ValkeyServer:
    """Its calls raise `FAILURES`, within `wait_s` or twice that."""

    def __init__(self, url: ValkeyUrl, ca_file: str | None, wait_s: float) -> None:
        self._url = url
        self._options: dict[str, Any] = {
            "username": url.username,
            "password": url.password,
            "socket_connect_timeout": wait_s,
            "ssl": url.tls,
            "ssl_ca_certs": ca_file if url.tls else None,
            "max_connections": _AT_ONCE * 2,
        }
        self._wait_s = wait_s
        self._client: Client = None
        self._scripts: dict[str, str] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        self.cluster = False

    @property
    def connected(self) -> bool:
        """It was, once: a connection that is lost is made again by the next question."""
        return self._client is not None

    async def connect(self) -> None:
        """To the first seed that answers."""
        for index, (host, port) in enumerate(self._url.seeds):
            client = self._one(host, port)
            try:
                async with asyncio.timeout(self._wait_s):
                    self.cluster = await _is_cluster(client)
                    self._scripts = {script: await client.script_load(script) for script in (_COMMIT, _LOOK)}
            except FAILURES:
                await client.aclose()
                if index == len(self._url.seeds) - 1:
                    raise
                continue
            if self.cluster:
                await client.aclose()
                client = await self._connected_cluster()
            await self.close()
            self._client = client
            return

    def _one(self, host: str, port: int) -> Client:
        """Its own time limit is left out: on Python 3.11 it loses cancellations (`wait_for`), and costs a fifth."""
        options = self._options | {"socket_timeout": None}
        return Redis(host=host, port=port, db=self._url.db, retry=_retry(), **options)

    async def _connected_cluster(self) -> Client:
        nodes = [ClusterNode(host, port) for host, port in self._url.seeds]
        options = self._options | {"socket_timeout": self._wait_s}  # a node at a time
        client = RedisCluster(startup_nodes=nodes, require_full_coverage=False, retry=_retry(), **options)
        try:
            await client.initialize()
        except FAILURES:
            await client.aclose()
            raise
        return client

    def node_of(self, name: bytes) -> str:
        """Which node has it, as far as is known."""
        if not self.cluster:
            return "server"
        try:
            return str(self._client.get_node_from_key(name).name)
        except RedisError:
            return "uncovered"

    def slot_of(self, name: bytes) -> int:
        """What is in one slot may be in one commit; without a cluster all is."""
        return int(self._client.keyslot(name)) if self.cluster else 0

    async def commit(self, changes: Sequence[Change]) -> list[bytes] | None:
        """One step. None: it is done; else nothing is, and this is what is there, by change. All in one slot."""
        there = await self._run(_COMMIT, [change.name for change in changes], _arguments(changes))
        return None if there == 1 else [each or b"" for each in there]

    async def look(self, pointers: Sequence[bytes], others: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        """Each one's value, and behind a pointer the session's; empty where there is nothing. Not in a cluster."""
        found = await self._run(_LOOK, [*pointers, *others], [b"%d" % len(pointers), SESSION_PREFIX])
        return [(found[at] or b"", found[at + 1] or b"") for at in range(0, len(found), 2)]

    async def values(self, names: Sequence[bytes]) -> list[bytes | BaseException]:
        """Of several nodes in a cluster; what could not be had is an error in its place."""
        found = await self._piped([("GET", name) for name in names])
        return [(_error(each) or each or b"") if not _not_ours(each) else b"" for each in found]

    async def write(self, steps: Sequence[Sequence[Change]]) -> list[list[bytes] | BaseException | None]:
        """Several commits, each a step of its own; answered as `commit` does, or with an error in its place."""
        found = await self._piped([_command(changes) for changes in steps])
        return [[value or b"" for value in each] if isinstance(each, list) else _error(each) for each in found]

    async def agree(self, name: bytes, proposed: bytes) -> bytes:
        """What is there already, else what is proposed."""
        async with self._asking():
            await self._client.set(name, proposed, nx=True)
            return await self._client.get(name) or proposed

    async def probe(self, name: bytes) -> None:
        """Whether there can be written: as empty as if nothing were there, and gone at once."""
        async with self._asking():
            await self._client.set(name, b"", nx=True, px=_PROBE_MS)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        async with asyncio.timeout(self._wait_s * (2 if self.cluster else 1)), self._room:
            yield

    async def _run(self, script: str, names: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        async with self._asking():
            try:
                return await self._client.evalsha(self._scripts[script], len(names), *names, *arguments)
            except NoScriptError:  # a node that was not there at the start, or has started since
                return await self._client.eval(script, len(names), *names, *arguments)

    async def _piped(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        async with self._asking():
            pipe = self._client.pipeline() if self.cluster else self._client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            return list(await pipe.execute(raise_on_error=False))


async def _is_cluster(client: Client) -> bool:
    try:
        await client.execute_command("CLUSTER", "INFO")
    except ResponseError:  # its cluster support is off
        await client.ping()
        return False
    return True


def _not_ours(answer: Any) -> bool:
    """Something else than a string has this name."""
    return isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE")


def _error(answer: Any) -> BaseException | None:
    return answer if isinstance(answer, BaseException) else None


def _retry() -> Retry:
    """Once, where the server has closed a connection meanwhile. Who was silent is not asked again."""
    return Retry(NoBackoff(), 1, supported_errors=(NotConnectedError,))


def _command(changes: Sequence[Change]) -> tuple[Any, ...]:
    if len(changes) == 1 and changes[0].expected is None and changes[0].new:
        change = changes[0]
        return "SET", change.name, change.new, "PX", change.kept_ms
    return "EVAL", _COMMIT, len(changes), *(change.name for change in changes), *_arguments(changes)


def _arguments(changes: Sequence[Change]) -> list[bytes]:
    arguments: list[bytes] = []
    for _, expected, new, kept_ms in changes:
        kept = b"0" if new is None else b"%d" % kept_ms if new else b"-1"
        arguments += (b"" if expected is None else b"=", expected or b"", kept, new or b"")
    return arguments
