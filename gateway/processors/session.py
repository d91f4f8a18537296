"""Finds out who speaks and which session an exchange belongs to, before anything goes upstream. Judges nothing."""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.contracts import NetworkState, Processor, SessionState
from gateway.model.exchange import Connection, Exchange
from gateway.model.message import RequestReading
from gateway.model.session import SessionRef
from gateway.processors.threads import Threads, Waiting
from gateway.sessions.agents import Client, Clients
from gateway.sessions.identity import Identity, Principals, identity_of, speaker, user_of
from gateway.sessions.ids import bounded
from gateway.sessions.resolver import Found, Resolution, Resolver, Rules, WhenClosed
from gateway.sessions.sources import Sources
from gateway.units import ConfigModel, PositiveDuration

Reading = Callable[[Exchange], RequestReading | None]
"""What the request says; read when it is first asked for. None where there is no body to read."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name; write one such as x-conversation")
    return name.lower()


class ClosedConfig(ConfigModel):
    explicit: WhenClosed = "reject"
    borrowed: WhenClosed = "continue"


class SessionConfig(ConfigModel):
    headers: tuple[Annotated[str, AfterValidator(_header_name)], ...] = ()
    """Borrowed ids, before the built-in list."""
    window: PositiveDuration = 45.0
    """The same user's next prompt within this belongs to the same session."""
    close_after: PositiveDuration = 86400.0
    """Idle."""
    lineage: bool = True
    """A request that repeats earlier turns belongs to their session."""
    anonymous: Literal["separate", "principal"] = "separate"
    """principal: where no user is known, the timing rule takes the credential as the user."""
    closed: ClosedConfig = Field(default_factory=ClosedConfig)


class SessionProcessor(Processor):
    """Asks for a reading of the body only where the headers do not name the session."""

    needs_reading = False
    """It calls `reading` itself, when it must."""

    def __init__(
        self,
        config: SessionConfig,
        state: SessionState,
        reading: Reading,
        secret: bytes,
        waiting: Waiting = lambda exchange, at_most: (),
    ) -> None:
        """`state` keeps the window and the idle time itself; `secret`, at most 64 bytes, makes principals."""
        self._state = state
        self._reading = reading
        self._waiting = waiting
        self._clients = Clients()
        self._sources = Sources(config.headers)
        self.ignored = self._sources.ignored
        """What could not be an id or a label, and was left out: by header, `header` or `body`."""
        rules = Rules(config.anonymous, config.closed.explicit, config.closed.borrowed)
        self._lineage = config.lineage
        self._resolver = Resolver(self._sources, state, rules)
        self._agree(secret)

    def _agree(self, secret: bytes) -> None:
        self._principals = Principals(secret)
        self._threads = Threads(self._state, secret, self._waiting, self._lineage)

    async def start(self) -> None:
        """Before the first exchange; takes bounded time."""
        if isinstance(self._state, NetworkState):
            await self._state.start(self._agree)

    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        headers = exchange.header_map
        client, identity = self._speaker(exchange)
        exchange.workspace = identity.workspace
        exchange.principal = identity.principal
        exchange.participant = identity.participant or "user"
        exchange.origin = identity.origin
        exchange.service = identity.service
        exchange.session_end = headers.get(b"x-session-end", b"").lower() == b"true"
        if exchange.connection is not None:
            return self._on_connection(exchange, exchange.connection, identity, client.agent)
        return self._resolve(exchange, identity, client.agent)

    def _speaker(self, exchange: Exchange) -> tuple[Client, Identity]:
        headers = exchange.header_map
        client = self._clients.of(headers.get(b"user-agent"))
        return client, identity_of(headers, self._principals.of(headers), client, exchange.provider, self.ignored)

    def _resolve(self, exchange: Exchange, identity: Identity, agent: bool, given: str = "") -> Awaitable[None] | None:
        resolution = self._resolver.resolve(
            exchange.header_map,
            agent,
            identity,
            lambda: self._reading(exchange),
            exchange.session_end,
            exchange.started_ns,
            given,
            (lambda reading: self._threads.clues(exchange, reading)) if self._lineage else _no_clues,
        )
        if not isinstance(resolution, Resolution):
            return _when_resolved(exchange, resolution)
        _take(exchange, resolution)
        return None

    def _on_connection(
        self, exchange: Exchange, connection: Connection, identity: Identity, agent: bool
    ) -> Awaitable[None] | None:
        """Resolved once: from the handshake's headers, else with the first request; kept from then on."""
        kept = connection.session
        exchange.user = identity.user or connection.user
        if not connection.joined:
            if not self._resolver.named_in_headers(exchange.header_map, agent):
                return None
            connection.reserved = True
            return self._resolve(exchange, identity, agent)
        if kept is None:
            named = bounded(connection.named.encode("utf-8", "replace")) or ""
            return self._resolve(exchange, identity, agent, named)
        if connection.reserved:
            connection.reserved = False
            _take(exchange, Resolution(kept, exchange.user))
            return None
        user, ends = exchange.user, exchange.session_end
        again = self._resolver.again(kept, identity, user, ends, exchange.started_ns)
        if not isinstance(again, SessionRef):
            return _when_again(exchange, again)
        _take(exchange, Resolution(again, user))
        return None

    def on_tail(self, exchange: Exchange) -> None:
        """The body is read by now: what the headers left open is filled in."""
        if exchange.session is None and exchange.connection is not None:
            # A handshake that failed: nobody was asked for a session, and it has one all the same.
            exchange.session = self._resolver.alone(self._speaker(exchange)[1], exchange.started_ns)
        reading = exchange.request
        if reading is None or exchange.session is None:
            return
        if b"x-participant" not in exchange.header_map:
            exchange.participant = speaker(reading, exchange.header_map)
        if exchange.user is None:
            exchange.user = user_of(reading, self.ignored)
        if exchange.session.source != "new" or self._lineage:
            self._threads.on_tail(exchange)

    def sweep(self) -> None:
        """Once a second or so."""
        self._state.sweep(time.time_ns())

    @property
    def trouble(self) -> str | None:
        """Why sessions are this worker's own at the moment."""
        return self._state.trouble

    async def stop(self) -> None:
        """The last call; takes bounded time."""
        closing = self._state.close()
        if closing is not None:
            await closing

    def counters(self) -> dict[str, int]:
        """`ignored.<where>`: what could not be an id or a label; and what the state had to forget."""
        return {f"ignored.{where}": count for where, count in self.ignored.items()} | self._state.counters


def _no_clues(reading: RequestReading) -> Found:
    return [], False


def _take(exchange: Exchange, resolution: Resolution) -> None:
    exchange.user = resolution.user
    exchange.session = resolution.session
    exchange.refusal = resolution.refusal
    if exchange.connection is not None:
        exchange.connection.session, exchange.connection.user = resolution.session, resolution.user


async def _when_resolved(exchange: Exchange, resolution: Awaitable[Resolution]) -> None:
    _take(exchange, await resolution)


async def _when_again(exchange: Exchange, again: Awaitable[SessionRef]) -> None:
    _take(exchange, Resolution(await again, exchange.user))
