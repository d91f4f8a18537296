"""Which session an exchange belongs to, the surest source first. Pure rules over session state.

Explicit → client → baggage → body → response chain → lineage → window → new.

An explicit id is the workspace's: everybody in it who names the id comes into the session. A borrowed id (an agent's
header, a field of the body) is its principal's: the same id from somebody else is another session, whose visible id is
the client's with `~` and a part of the principal behind it. Timing joins the same user of the same principal only.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple

from gateway.contracts import SessionState
from gateway.model.exchange import Refusal
from gateway.model.message import RequestReading
from gateway.model.session import CONFIDENCE, LOCAL_CONFIDENCE, MAX_SESSION_ID, Claim, Place, SessionRef, SessionSource
from gateway.sessions.identity import HeaderMap, Identity, user_of
from gateway.sessions.ids import fresh, is_fresh
from gateway.sessions.lineage import Clue
from gateway.sessions.sources import BadExplicitIdError, Named, Sources

WhenClosed = Literal["reject", "continue"]
Found = tuple[list[Clue], bool]
"""By what a session may be found, the surest first; whether the request repeats earlier turns."""

INVALID_SESSION_ID = Refusal(
    400,
    "invalid_session_id",
    f"The session id in x-spangate-session-id or x-session-id has characters that no id may have. Send 1 to "
    f"{MAX_SESSION_ID} printable ASCII characters, or leave the header out.",
)
SESSION_CLOSED = Refusal(
    410,
    "session_closed",
    "This session was ended, or was idle for too long. Send another session id, or leave the header out.",
)


class Rules(NamedTuple):
    """What an administrator decides about sessions."""

    anonymous: Literal["separate", "principal"] = "separate"
    """Without a user: each exchange its own session, or the principal as the user."""
    closed_explicit: WhenClosed = "reject"
    closed_borrowed: WhenClosed = "continue"


class Resolution(NamedTuple):
    session: SessionRef
    user: str | None
    refusal: Refusal | None = None


class Resolver:
    def __init__(self, sources: Sources, state: SessionState, rules: Rules) -> None:
        self._sources = sources
        self._state = state
        self._rules = rules

    def resolve(
        self,
        headers: HeaderMap,
        agent: bool,
        identity: Identity,
        reading: Callable[[], RequestReading | None],
        ends: bool,
        now_ns: int,
        given: str = "",
        clues: Callable[[RequestReading], Found] = lambda reading: ([], False),
    ) -> Resolution | Awaitable[Resolution]:
        """`agent`: the client names its own sessions; `reading` is called only if the headers do not decide;
        `ends`: this is the session's last input; `given`: the id that the upstream gave, which yields to the client's;
        `clues` are asked for only where no id was named. An awaitable only where the state answers with one.
        """
        try:
            named = self._sources.in_headers(headers, agent)
        except BadExplicitIdError:
            return Resolution(_alone(identity, now_ns), identity.user, INVALID_SESSION_ID)
        source: SessionSource = "client"
        user = identity.user
        if named is None:
            source, named = "baggage", self._sources.in_baggage(headers)
        if named is not None:
            source = "explicit" if named.explicit else source
            return self._by_id(named, source, identity, user, ends, now_ns)
        body = reading()
        if body is not None:
            user = user or user_of(body, self._sources.ignored)
            source, named = "body", self._sources.in_body(body, headers)
            if named is None:
                source, named = "response_chain", self._sources.in_chain(body)
        if named is not None:
            return self._by_id(named, source, identity, user, ends, now_ns)
        if given:
            return self._by_id(Named(given, False), "response_chain", identity, user, ends, now_ns, False)
        return self._unnamed(identity, user, ends, now_ns, clues(body) if body is not None else ([], False))

    def named_in_headers(self, headers: HeaderMap, agent: bool) -> bool:
        """Whether they alone decide, if only to refuse."""
        try:
            return (self._sources.in_headers(headers, agent) or self._sources.in_baggage(headers)) is not None
        except BadExplicitIdError:
            return True

    def again(
        self, kept: SessionRef, identity: Identity, user: str | None, ends: bool, now_ns: int
    ) -> SessionRef | Awaitable[SessionRef]:
        """The next place in a session that is settled: of a connection, whatever else has become of the session."""
        shared = kept.source == "explicit"
        window_key = self._window_key(identity, user)
        claim = Claim(
            identity.workspace, identity.principal, kept.id, True, shared, window_key, ends, False, begun_before=True
        )
        place = self._state.resolve(claim, now_ns)
        return _kept(kept, place) if place is None or isinstance(place, Place) else _when_kept(kept, place)

    def alone(self, identity: Identity, now_ns: int) -> SessionRef:
        """A session of one, for what was over before it could be in another."""
        return _alone(identity, now_ns)

    def _by_id(
        self,
        named: Named,
        source: SessionSource,
        identity: Identity,
        user: str | None,
        ends: bool,
        now_ns: int,
        supplied: bool = True,
    ) -> Resolution | Awaitable[Resolution]:
        when_closed = self._rules.closed_explicit if named.explicit else self._rules.closed_borrowed
        claim = Claim(
            identity.workspace,
            identity.principal,
            named.id,
            True,
            named.explicit,
            self._window_key(identity, user),
            ends,
            when_closed == "continue",
            is_fresh(named.id),
        )
        return self._ask(_Asked(claim, source, identity, user, now_ns, supplied=supplied))

    def _unnamed(
        self, identity: Identity, user: str | None, ends: bool, now_ns: int, found: Found
    ) -> Resolution | Awaitable[Resolution]:
        clues, history = found
        window_key = self._window_key(identity, user)
        if window_key is None and not clues:
            return Resolution(_alone(identity, now_ns), user)  # nothing can have come before it
        keys = tuple([clue.key for clue in clues])
        claim = Claim(
            identity.workspace,
            identity.principal,
            fresh(now_ns),
            False,
            False,
            window_key,
            ends,
            False,
            keys=keys,
            history=history,
        )
        return self._ask(_Asked(claim, "new", identity, user, now_ns, clues))

    def _ask(self, asked: "_Asked") -> Resolution | Awaitable[Resolution]:
        place = self._state.resolve(asked.claim, asked.now_ns)
        return _resolution(asked, place) if place is None or isinstance(place, Place) else _when_placed(asked, place)

    def _window_key(self, identity: Identity, user: str | None) -> str | None:
        """SECURITY: timing never joins across users, principals or workspaces. No part may hold a line feed."""
        if user is not None:
            return f"{identity.workspace}\n{identity.principal}\n{user}"
        if self._rules.anonymous == "principal" and identity.principal:
            return f"{identity.workspace}\n{identity.principal}\n"
        return None


class _Asked(NamedTuple):
    claim: Claim
    source: SessionSource
    """Where the id was named, if one was."""
    identity: Identity
    user: str | None
    now_ns: int
    clues: Sequence[Clue] = ()
    supplied: bool = True
    """It was the client that named the id."""


async def _when_placed(asked: _Asked, place: Awaitable[Place | None]) -> Resolution:
    return _resolution(asked, await place)


def _resolution(asked: _Asked, place: Place | None) -> Resolution:
    claim, source, identity, user, now_ns, clues, supplied = asked
    if place is None:
        # What was refused is no part of the closed session: it stands alone, and says whom it wanted to follow.
        refused = _alone(identity, now_ns)
        refused.previous_id = claim.session_id
        return Resolution(refused, user, SESSION_CLOSED)
    confidence = CONFIDENCE[source]
    if place.how == "key":
        _, source, confidence, _ = clues[place.key]
    elif place.how != "named":
        source = place.how
        confidence = CONFIDENCE[source]
    session = SessionRef(
        place.session_id,
        source,
        confidence * (LOCAL_CONFIDENCE if place.local else 1.0),
        place.sequence,
        place.sequence == 1 and _may_head(identity),
        place.how == "named" and supplied and place.session_id == claim.session_id,
        place.previous_id,
        place.parent,
    )
    return Resolution(session, user)


async def _when_kept(kept: SessionRef, place: Awaitable[Place | None]) -> SessionRef:
    return _kept(kept, await place)


def _kept(kept: SessionRef, place: Place | None) -> SessionRef:
    same = place is not None and place.session_id == kept.id
    return SessionRef(
        kept.id,
        kept.source,
        kept.confidence,
        place.sequence if place is not None and same else kept.sequence + 1,
        client_supplied=kept.client_supplied,
        previous_id=kept.previous_id,
    )


def _alone(identity: Identity, now_ns: int) -> SessionRef:
    """A session of one."""
    return SessionRef(fresh(now_ns), "new", CONFIDENCE["new"], header=_may_head(identity))


def _may_head(identity: Identity) -> bool:
    """A session's header comes from a user or an agent; where nothing was said it is one of the two."""
    return identity.participant in (None, "user", "agent")
