"""Which session an exchange belongs to, and how sure that is."""

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

MAX_SESSION_ID = 200
"""Printable ASCII characters, so that every store takes it."""


class Claim(NamedTuple):
    """What the resolver asks of session state: a place in a session, under these rules."""

    workspace: str
    principal: str
    session_id: str
    """The id that was named; a fresh one where the source is `window` or `new`."""
    source: SessionSource
    """`window`: the window key's session if its latest input is recent enough, else `session_id` is begun as `new`."""
    shared: bool
    """Whether the whole workspace may come into this session by its id, or its principal only."""
    window_key: str | None
    """Whose next input may follow by timing alone; None: nobody's."""
    header_allowed: bool
    ends: bool
    """This input is the session's last."""
    reopens: bool
    """A closed session is continued as a new one, instead of refused."""
    begun_before: bool = False
    """The id is one that a gateway gave away: an input came before, whether the state remembers it or not."""
