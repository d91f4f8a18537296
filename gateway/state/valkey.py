"""Session state that all gateways of a cluster share: in Valkey or Redis, one or a cluster of them. Bounded.

`rules` decide here, on what this worker knows; one script compares what they went by with what is there, and writes
what they decided, or says what is there, and they decide again. Two gateways that see the first two messages of one
conversation at the same moment come one after the other, and find one session.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from gateway.model.session import Claim, Lesson, Place, Thread
from gateway.state.failures import Failures
from gateway.state.fallback import TRIES_AGAIN_S
from gateway.state.patience import WAITS_S
from gateway.state.rules import SessionRules, session_key
from gateway.state.valkey_asking import Asking, ValkeyDownError
from gateway.state.valkey_known import Known
from gateway.state.valkey_nodes import Nodes
from gateway.state.valkey_records import SECRET_NAME, Kept, Names
from gateway.state.valkey_server import FAILURES, ValkeyServer
from gateway.state.valkey_telling import Teller
from gateway.state.valkey_url import ValkeyUrl
from gateway.state.valkey_view import Looked, View

_TRIES = 64
"""To be the first to change a session: each time that one is not, somebody else was."""
_QUESTIONS = 4
"""That one place may take, of `wait_s` each."""
_AGREES_EVERY_NS = 60 * 1_000_000_000


class ValkeyState:
    """Implements `contracts.NetworkState`."""

    def __init__(
        self,
        url: ValkeyUrl,
        secret: bytes,
        window_s: float = 45.0,
        close_after_s: float = 86400.0,
        limit: int = 20_000,
        keep_s: float = 30 * 86400.0,
        wait_s: float = 0.5,
        ca_file: str | None = None,
        patience_s: tuple[float, ...] = WAITS_S,
        tries_again_s: tuple[float, ...] = TRIES_AGAIN_S,
    ) -> None:
        """`secret`: proposed to all, at most 64 bytes. `limit`: sessions that this worker knows by itself. `keep_s`:
        how long after its latest input a session is known. `wait_s`: for the answer to one question. `patience_s`: as
        in `patience`, for what another worker may be about to learn; `tries_again_s`: as in `fallback`."""
        self.counters: Counter[str] = Counter()
        """`local`: sessions that were resolved here alone; `failed`: questions without an answer; `raced`: decided
        again since somebody else was faster; `waited`, `waited_in_vain`; and those of `Known`."""
        self.failures = Failures()
        self._window_s, self._close_after_s = window_s, close_after_s
        self._kept = Kept(_ms(keep_s), _ms(min(keep_s, close_after_s)), _ms(max(window_s, close_after_s)))
        self._limit = limit
        self._wait_s = wait_s
        self._patience_s = patience_s
        self._server = ValkeyServer(url, ca_file, wait_s)
        self._nodes = Nodes(self._works, self.counters, tries_again_s)
        self._asking = Asking(self._server, self._nodes, self._known_with(secret))
        self._teller = Teller(self._server, self._nodes, lambda: self._asking.known)
        self._agreed: Callable[[bytes], None] = lambda secret: None
        self._agreeing: asyncio.Task[bool] | None = None
        self._agreed_ns = 0

    def _known_with(self, secret: bytes) -> Known:
        self._secret = secret
        self._rules = SessionRules(self._window_s, self._close_after_s, secret)
        return Known(Names(secret), self._rules, self._kept, self._limit, self.counters)

    async def start(self, agreed: Callable[[bytes], None]) -> None:
        self._agreed = agreed
        try:
            async with asyncio.timeout(_QUESTIONS * self._wait_s):
                await self._server.connect()
                await self._agree()
        except FAILURES as error:
            self._nodes.failed("", SECRET_NAME, error)

    # A place

    def resolve(self, claim: Claim, now_ns: int) -> Place | Awaitable[Place | None] | None:
        if not self._nodes.up(""):
            return self._locally(claim, now_ns)
        if claim.named and not self._nodes.all_up:
            name = self._asking.known.names.session(session_key(claim.workspace, claim.session_id))
            if not self._nodes.up(self._server.node_of(name)):
                return self._locally(claim, now_ns)
        return self._asked(claim, now_ns)

    async def _asked(self, claim: Claim, now_ns: int) -> Place | None:
        try:
            async with asyncio.timeout(_QUESTIONS * self._wait_s):
                place = await self._shared(claim, now_ns)
        except (ValkeyDownError, TimeoutError):
            place = self._locally(claim, now_ns)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError  # the library may have lost it, on Python 3.11
        return place

    async def _shared(self, claim: Claim, now_ns: int) -> Place | None:
        looked = Looked()
        if not claim.named and not self._learnt_here(claim):
            await self._look(claim, now_ns, looked)
        for _ in range(_TRIES):
            view = View(self._asking.known, looked)
            place = self._rules.resolve(view, claim, now_ns)
            if await self._asking.commit(claim, place, view, looked):
                unsure = looked.incomplete and place is not None and place.how != "key"
                self.counters["local"] += unsure
                return place._replace(local=True) if place is not None and unsure else place
            self.counters["raced"] += 1
        raise ValkeyDownError("others were always faster")

    def _learnt_here(self, claim: Claim) -> bool:
        """The surest key leads to an exchange of this worker's: nobody need be asked."""
        if not claim.keys or claim.keys[0].within_ns:
            return False
        turn = View(self._asking.known, Looked()).turn(claim.keys[0].digest)
        return turn is not None and turn.found and turn.session.workspace == claim.workspace

    async def _look(self, claim: Claim, now_ns: int, looked: Looked) -> None:
        """More than once where an earlier turn was answered by somebody who may be about to learn from it."""
        await self._asking.look(claim, looked)
        if not claim.history or not claim.keys or looked.incomplete or self._finds(claim, looked):
            return
        self.counters["waited"] += 1
        for wait_s in self._patience_s:
            await asyncio.sleep(wait_s)
            await self._asking.look(claim, looked)
            if self._finds(claim, looked):
                return
        self.counters["waited_in_vain"] += 1

    def _finds(self, claim: Claim, looked: Looked) -> bool:
        return self._rules.knows(View(self._asking.known, looked), claim)

    def _locally(self, claim: Claim, now_ns: int) -> Place | None:
        self.counters["local"] += 1
        known = self._asking.known
        view = View(known, Looked())
        place = self._rules.resolve(view, claim, now_ns)
        known.keep(view, claim.window_key)
        return None if place is None else place._replace(local=True)

    # What is told behind

    def learn(self, lesson: Lesson) -> Thread:
        thread = self._asking.known.learn(lesson)
        self._teller.wake()
        return thread

    def end(self, workspace: str, session_id: str) -> None:
        self._asking.known.end(workspace, session_id)
        self._teller.wake()

    def sweep(self, now_ns: int) -> None:
        """Valkey forgets by itself. The secret is kept in use there, so that it is not what is evicted."""
        due = abs(now_ns - self._agreed_ns) >= _AGREES_EVERY_NS
        if due and self._nodes.all_up and (self._agreeing is None or self._agreeing.done()):
            self._agreed_ns = now_ns
            self._agreeing = asyncio.create_task(self._works("", SECRET_NAME), name="agree on the secret")

    async def close(self) -> None:
        if self._agreeing is not None:
            self._agreeing.cancel()
            await asyncio.wait([self._agreeing])
        self._nodes.close()
        await self._teller.close(self._wait_s)
        await self._server.close()

    @property
    def trouble(self) -> str | None:
        return self._nodes.trouble

    @property
    def untold(self) -> int:
        """What others are still to be told of: sessions, and what leads to them."""
        return len(self._asking.known.untold_sessions) + len(self._asking.known.untold)

    # The servers

    async def _works(self, node: str, name: bytes) -> bool:
        try:
            async with asyncio.timeout(_QUESTIONS * self._wait_s):
                if not self._server.connected:
                    await self._server.connect()
                if node:
                    await self._server.probe(name)
                else:
                    await self._agree()
        except FAILURES:
            return False
        return True

    async def _agree(self) -> None:
        """Whose secret was there first is everybody's; what was known under another one is known no more."""
        secret = await self._server.agree(SECRET_NAME, self._secret)
        if secret != self._secret:
            self._asking.known = self._known_with(secret)
            self._agreed(secret)


def _ms(seconds: float) -> int:
    return max(round(seconds * 1000), 1)
