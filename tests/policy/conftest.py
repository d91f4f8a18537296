"""Messages and agents for the policy tests."""

from collections.abc import Callable

import pytest

from gateway.model.message import Entry, Message, Part, Text
from gateway.policy.load import Agent, read_agent
from gateway.providers.known import entry_of


@pytest.fixture(scope="session")
def said() -> Callable[..., Entry]:
    def make(*texts: str | Part, role: str = "user") -> Entry:
        return entry_of(Message(role, tuple(Text(t) if isinstance(t, str) else t for t in texts)))

    return make


@pytest.fixture(scope="session")
def agent() -> Callable[..., Agent]:
    def make(name: str = "keeper", **keys: str) -> Agent:
        written = {
            "agent": name,
            "role": "enforcer",
            "detect": "{codenames: {keywords: [nightjar]}}",
            "intent": "block",
        } | keys
        text = "\n".join(f"{key}: {value}" for key, value in written.items())
        return read_agent(f"{name}.yaml", text.encode())

    return make
