"""Messages and agents for the policy tests."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import settings

from gateway.model.exchange import Captured, Exchange
from gateway.model.message import Entry, Message, Part, RequestReading, ResponseReading, Text, Usage
from gateway.model.session import SessionRef
from gateway.policy.load import Agent, read_agent
from gateway.providers.known import entry_of

# A machine that stands still for a while is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


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


@pytest.fixture(scope="session")
def call() -> Callable[..., Exchange]:
    """An exchange as the processor sees it on the tail."""

    def make(
        *asked: Entry,
        answer: Sequence[Entry] = (),
        session: str = "s",
        model: str = "gpt-5",
        tokens: tuple[int, int] = (0, 0),
        **fields: Any,
    ) -> Exchange:
        body = Captured(100)
        body.add(b"{}")
        made = Exchange("e", 1_800_000_000_000_000_000, "POST", "/v1/x", [], body, b"t" * 16, b"s" * 8)
        made.provider = "openai"
        made.principal = "key"
        made.session = SessionRef(session, "explicit", 1.0)
        made.request = RequestReading()
        made.request.model = model
        made.request.messages = list(asked)
        made.response = ResponseReading()
        made.response.messages = list(answer)
        made.response.usage = Usage("reported", *tokens)
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    return make
