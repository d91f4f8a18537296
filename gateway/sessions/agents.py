"""What a user-agent says: which family of client this is, and whether it names its own sessions. Pure."""

import re
from typing import NamedTuple

from gateway.sessions.ids import bounded

_PRODUCT = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:/[A-Za-z][0-9A-Za-z._-]*)?")
_FAMILY_LIMIT = 64
_REMEMBERED = 2048
_LONGEST_REMEMBERED = 512

NAMES_ITS_SESSIONS = (
    "amp",
    "claude-cli",
    "claude-code",
    "cline",
    "codex",
    "continue",
    "copilot",
    "crush",
    "gemini-cli",
    "geminicli",
    "githubcopilot",
    "goose",
    "kilo",
    "opencode",
    "qwen",
    "roo",
)
"""Beginnings of families whose `x-session-id` nobody chose by hand: it is borrowed, not explicit."""


class Client(NamedTuple):
    family: str
    """`openai-python`, `claude-cli`, `mozilla`; "" where nothing was said."""
    agent: bool


class Clients:
    """Reads user-agents; the few thousand that come again are read once."""

    def __init__(self) -> None:
        self._known: dict[bytes, Client] = {}

    def of(self, user_agent: bytes | None) -> Client:
        if user_agent is None:
            return _NOBODY
        found = self._known.get(user_agent)
        if found is None:
            found = client_of(user_agent)
            if len(user_agent) <= _LONGEST_REMEMBERED:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[user_agent] = found
        return found


_NOBODY = Client("", False)


def client_of(user_agent: bytes) -> Client:
    """`OpenAI/Python 2.1` → openai-python; `claude-cli/2.1.197 (external, cli)` → claude-cli, an agent."""
    match = _PRODUCT.match(user_agent.strip())
    product = bounded(match[0][:_FAMILY_LIMIT]) if match else None
    if product is None:
        return _NOBODY
    family = product.lower().replace("/", "-")
    return Client(family, family.startswith(NAMES_ITS_SESSIONS))
