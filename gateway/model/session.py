"""Which session an exchange belongs to, and how sure that is."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

SessionSource = Literal["explicit", "client", "baggage", "body", "response_chain", "lineage", "window", "new"]


class SessionRef(msgspec.Struct, gc=False):
    """One exchange's place in its session."""

    id: str
    source: SessionSource
    confidence: float
    sequence: int = 1
    header: bool = False
    """True on the session's first input, if it came from a user or an agent."""
    client_supplied: bool = False
    """True where the id itself came from the client: only then is it a `gen_ai.conversation.id`."""
    previous_id: str | None = None
    """The closed session that this one continues."""
    parent_exchange: str | None = None
    new_from: int = 0
    """Index of the first message that the parent exchange did not have."""


CONFIDENCE: dict[SessionSource, float] = {
    "explicit": 1.0,
    "client": 0.95,
    "baggage": 0.9,
    "body": 0.9,
    "response_chain": 0.95,
    "lineage": 0.85,
    "window": 0.6,
    "new": 0.5,
}
"""How sure each source is: what was named beats what was found, and what was found beats what timing suggests."""

LOCAL_CONFIDENCE = 0.5
"""Of what the source would be worth where the place is a `local` one: others may know better."""

MAX_SESSION_ID = 200
"""Printable ASCII characters, so that every store takes it."""


class Key(NamedTuple):
    """Something that an exchange has in common with the one it continues."""

    digest: bytes
    """16 bytes; workspace and principal are mixed in."""
    within_ns: int = 0
    """Counts only if it was learnt at most this long ago, and then once; 0: always."""


class Claim(NamedTuple):
    """What the resolver asks of session state: a place in a session, under these rules.

    In this order: the named id; where one of `keys` was learnt; the latest session of `window_key`; a new one.
    """

    workspace: str
    principal: str
    session_id: str
    """The id that was named; else a fresh one, for a session that has to be begun."""
    named: bool
    shared: bool
    """Whether the whole workspace may come into this session by its id, or its principal only."""
    window_key: str | None
    """Whose next input may follow by timing alone; None: nobody's."""
    ends: bool
    """This input is the session's last."""
    reopens: bool
    """A closed session is continued as a new one, instead of refused. One that was found is always continued."""
    begun_before: bool = False
    """The id is one that a gateway gave away: an input came before, whether the state remembers it or not."""
    keys: tuple[Key, ...] = ()
    """Surest first."""
    history: bool = False
    """The input repeats earlier turns. One that repeats none follows nobody by timing who did within the idle time."""


How = Literal["named", "key", "window", "new"]


class Place(NamedTuple):
    """A place in a session."""

    session_id: str
    how: How
    sequence: int
    previous_id: str | None = None
    """The closed session that this one continues."""
    parent: str | None = None
    """The exchange that learnt the key."""
    key: int = -1
    """Which one it was, in the order of `Claim.keys`."""
    local: bool = False
    """This process alone says so, since the engine that others share does not answer."""


class Lesson(NamedTuple):
    """What an ended exchange leaves for those that continue it."""

    workspace: str
    principal: str
    session_id: str
    exchange_id: str
    started_ns: int
    ended_ns: int
    """Unix time."""
    begins: bool
    """Begin the session if it is unknown: a fresh one, of which the state was not told."""
    asked: Sequence[bytes] = ()
    """Digests by which the exchange that this one continues may be known within the session, surest first."""
    lasting: Sequence[bytes] = ()
    """Found by these as long as the session is remembered."""
    passing: Sequence[bytes] = ()
    """Found by these until the session's later exchanges have brought newer ones."""


class Thread(NamedTuple):
    """What an exchange continues within its session."""

    parent: str | None
    """None: nothing came before, as far as is known."""
    key: int = -1
    """Which of `Lesson.asked` told; -1: none did, and the parent is the session's latest exchange."""
