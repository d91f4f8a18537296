"""Asks session state what an exchange continues, and teaches it what the exchange leaves. Rules are in `sessions`."""

from collections.abc import Callable, Sequence
from hashlib import blake2b

from gateway.contracts import SessionState
from gateway.model.exchange import Exchange
from gateway.model.message import RequestReading
from gateway.model.session import Lesson, SessionRef, Thread
from gateway.sessions.lineage import (
    CHAINS,
    RETRIED_NS,
    Clue,
    Exact,
    clues,
    exact,
    history_of,
    learnt,
    repeating,
    scope_of,
    stands_alone,
)
from gateway.sessions.subagents import ROOT, agent_of, sent_again

_SCOPES, _FRESH = 4096, 8192
_FOUND = ("window", "lineage")
"""Sources of sessions that no agent named."""
_TOOLS_REMEMBERED, _LARGEST_REMEMBERED = 64, 256 * 1024
_REFUSED_SESSIONS = ("session_closed", "invalid_session_id")

Waiting = Callable[[Exchange, int], Sequence[Exchange]]
"""Ended exchanges of the same principal among the last so many that wait for the tail; their responses are read now."""
_BEHIND, _BEHIND_AN_OPENING = 64, 8


class Threads:
    """One worker's; not thread-safe."""

    def __init__(
        self,
        state: SessionState,
        secret: bytes,
        waiting: Waiting = lambda exchange, at_most: (),
        lineage: bool = True,
    ) -> None:
        """`lineage`: False where sessions are not looked for in histories; then only threads within one are."""
        self._state = state
        self._lineage = lineage
        self._secret = secret
        self._waiting = waiting
        self._scopes: dict[tuple[str, str], bytes] = {}
        self._tools: dict[bytes, bytes] = {}
        self._fresh = _Lately()
        """What was learnt here."""
        self._failures = state.failures
        self._early: set[str] = set()
        """Exchanges that were learnt before the tail came to them."""

    def clues(self, exchange: Exchange, reading: RequestReading) -> tuple[list[Clue], bool]:
        """By what this exchange's session may be found, and whether it repeats earlier turns."""
        retries = sent_again(exchange.header_map)
        failures = self._failures.lately(exchange.started_ns, RETRIED_NS)
        if not retries and not failures and stands_alone(reading):
            return [], False
        history = history_of(reading)
        turns = history.turns
        scope = self._scope(exchange.workspace, exchange.principal)
        failures = failures and self._failures.lately(exchange.started_ns, RETRIED_NS, scope)
        found = clues(scope, self._ahead(reading) if retries else (), reading, history, retries, failures)
        if found and found[0].within_ns == 0 and all(clue.digest not in self._fresh for clue in found):
            # An agent may go on within the millisecond that the tail waits.
            opening = not turns and found[0].source == "lineage"
            for ended in self._waiting(exchange, _BEHIND_AN_OPENING if opening else _BEHIND):
                # What says nothing, the tail does not come back to: it must not be noted here for ever.
                if ended.id not in self._early and ended.request is not None and ended.session is not None:
                    self._early.add(ended.id)
                    self.learn(ended)
        return found, bool(turns)

    def on_tail(self, exchange: Exchange) -> None:
        if exchange.id in self._early:
            self._early.discard(exchange.id)
        else:
            self.learn(exchange)

    def learn(self, exchange: Exchange) -> None:
        reading, session = exchange.request, exchange.session
        if reading is None or session is None:
            return
        if exchange.refusal is not None and exchange.refusal.code in _REFUSED_SESSIONS:
            return
        fresh = session.source == "new"
        if fresh and exchange.session_end:
            return
        scope = self._scope(exchange.workspace, exchange.principal)
        ahead = self._ahead(reading)
        good = _good(exchange)
        repeated: Exact | None = None
        asked: list[bytes] = []
        if self._lineage:
            history = history_of(reading)
            lasting, passing = learnt(scope, ahead, reading, history, exchange.response, good, exchange.api)
            if fresh and not lasting and not passing:
                return
            if not fresh:  # of a session that begins here nothing came before
                repeated = exact(scope, ahead, reading.messages, history)
                asked = [*repeated.digests] if repeated is not None else []
                told = session.parent_exchange is not None or any(digest in self._fresh for digest in asked)
                if not told and not stands_alone(reading):
                    asked += [clue.digest for clue in clues(scope, ahead, reading, history, False, False)]
        else:
            repeated, whole = repeating(scope, ahead, reading.messages)
            asked = [*repeated.digests] if repeated is not None else []
            lasting, passing = [], [whole]
        if not (fresh or session.source in _FOUND):
            own, parent = self._agents(scope, exchange, session)
            asked += (own, parent)
            passing.append(own)
        started_ns = exchange.started_ns
        ended_ns = started_ns + exchange.duration_ns
        thread = self._state.learn(
            Lesson(
                exchange.workspace,
                exchange.principal,
                session.id,
                exchange.id,
                started_ns,
                ended_ns,
                fresh,
                asked,
                lasting,
                passing,
            )
        )
        # An agent names its session; the last two of what was asked are agents, not what the request says.
        if session.source == "client" and repeated is None and not 0 <= thread.key < len(asked) - 2:
            thread = Thread(None) if _begins(exchange, reading) else thread
        if session.parent_exchange is None or thread.key == 0:
            session.parent_exchange = thread.parent
        by_request = repeated is not None and 0 <= thread.key < len(repeated.digests)
        if repeated is not None and by_request and thread.parent == session.parent_exchange:
            session.new_from = repeated.known
        self._fresh.note(lasting)
        self._fresh.note(passing)
        if not good:
            self._failures.note(scope, ended_ns)  # what another worker finds by it was learnt before

    def _ahead(self, reading: RequestReading) -> list[bytes]:
        """Where these have changed, nothing of a request is "what the parent had"."""
        ahead = [entry.digest for entry in reading.system] if reading.system else []
        if reading.tools is not None:
            ahead.append(self._tools_digest(reading.tools))
        return ahead

    def _agents(self, scope: bytes, exchange: Exchange, session: SessionRef) -> tuple[bytes, bytes]:
        """Digests by which the latest exchange of this agent, and of its parent, is found in the session."""
        agent = agent_of(exchange.header_map)
        within = f"{session.id}\n".encode()
        own, parent = (
            blake2b(b"%bagent\n%b%b" % (scope, within, name), digest_size=16).digest()
            for name in (agent.agent, agent.parent)
        )
        return own, parent

    def _scope(self, workspace: str, principal: str) -> bytes:
        found = self._scopes.get((workspace, principal))
        if found is None:
            if len(self._scopes) >= _SCOPES:
                self._scopes.clear()
            found = self._scopes[workspace, principal] = scope_of(workspace, principal, self._secret)
        return found

    def _tools_digest(self, tools: bytes) -> bytes:
        """Of the latest tools it is remembered: an agent sends the same 50 KB with each turn. Giants are not kept."""
        if len(tools) > _LARGEST_REMEMBERED:
            return blake2b(tools, digest_size=16).digest()
        digest = self._tools.get(tools)
        if digest is None:
            if len(self._tools) >= _TOOLS_REMEMBERED:
                self._tools.clear()
            digest = self._tools[tools] = blake2b(tools, digest_size=16).digest()
        return digest


class _Lately:
    """The latest digests noted, 8,192 of them at least."""

    __slots__ = ("_before", "_now")

    def __init__(self) -> None:
        self._now: dict[bytes, None] = {}
        self._before: dict[bytes, None] = {}

    def note(self, digests: Sequence[bytes]) -> None:
        for digest in digests:
            self._now[digest] = None
        if len(self._now) > _FRESH:
            self._before, self._now = self._now, {}

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._now or digest in self._before


def _begins(exchange: Exchange, reading: RequestReading) -> bool:
    """Whether a coding agent itself begins to talk, as far as a request without any turn of the model tells.

    What it has the model do aside, such as a title or a summary, offers no tools, and may come before.
    """
    chained = any(name in reading.session_hints for name in CHAINS)
    return reading.tools is not None and not chained and agent_of(exchange.header_map) is ROOT


def _good(exchange: Exchange) -> bool:
    response = exchange.response
    failed = response is None or response.error_type is not None
    return exchange.end == "finished" and 200 <= exchange.status < 400 and not failed
