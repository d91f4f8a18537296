"""Which session an exchange belongs to, and how sure that is."""

from dataclasses import dataclass
from typing import Literal

SessionSource = Literal["explicit", "client", "baggage", "body", "response_chain", "lineage", "window", "new"]


@dataclass(slots=True)
class SessionRef:
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
