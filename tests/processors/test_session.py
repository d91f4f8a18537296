import json

import pytest
from pydantic import ValidationError

from gateway.model.exchange import Captured, Exchange
from gateway.model.message import Message, RequestReading, ResponseReading, Text, ToolCallResponse
from gateway.processors.session import SessionConfig, SessionProcessor
from gateway.providers.known import entry_of
from gateway.state.memory import MemoryState

START_NS = 1_790_000_000_000_000_000


def exchange(number: int = 1, **headers: str) -> Exchange:
    names = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    body = Captured(1000)
    return Exchange(f"e-{number}", START_NS, "POST", "/v1/x", [], body, b"t", b"s", header_map=names, provider="openai")


def said(*texts: str, user: str | None = None) -> RequestReading:
    reading = RequestReading()
    roles = ("user", "assistant")
    reading.messages = [entry_of(Message(roles[turn % 2], (Text(text),))) for turn, text in enumerate(texts)]
    reading.user = user
    return reading


def answered(text: str) -> ResponseReading:
    reading = ResponseReading()
    reading.messages = [entry_of(Message("assistant", (Text(text),), finish_reason="stop"))]
    return reading


class Body:
    """A request body that counts how often it was read."""

    def __init__(self, reading: RequestReading | None) -> None:
        self.reading = reading
        self.times_read = 0

    def __call__(self, exchange: Exchange) -> RequestReading | None:
        self.times_read += 1
        exchange.request = self.reading
        return self.reading


def processor(body: Body | None = None, config: SessionConfig | None = None) -> SessionProcessor:
    return SessionProcessor(config or SessionConfig(), MemoryState(), body or Body(None), b"secret")


def test_an_exchange_learns_who_speaks_and_in_which_session() -> None:
    found = exchange(
        x_session_id="talk",
        x_user_id="alice",
        x_workspace="research",
        x_participant="tool",
        x_service="billing",
        user_agent="OpenAI/Python 2.1",
        authorization="Bearer sk-secret",
        x_session_end="True",
    )
    processor().on_request(found)
    assert found.session is not None
    assert (found.session.id, found.session.source) == ("talk", "explicit")
    assert (found.user, found.workspace, found.participant) == ("alice", "research", "tool")
    assert (found.service, found.origin, found.session_end) == ("billing", "openai-python", True)
    assert found.principal
    assert "sk-secret" not in repr(found.principal)


def test_the_body_is_read_only_where_the_headers_do_not_name_the_session() -> None:
    body = Body(said("hi"))
    sessions = processor(body)
    sessions.on_request(exchange(x_session_id="talk"))
    sessions.on_request(exchange(x_claude_code_session_id="cc"))
    assert body.times_read == 0
    sessions.on_request(exchange())
    assert body.times_read == 1
    assert not sessions.needs_reading


def test_an_agents_own_session_id_is_borrowed() -> None:
    found = exchange(x_session_id="ses_1", user_agent="opencode/1.18")
    processor().on_request(found)
    assert found.session is not None
    assert found.session.source == "client"


def test_a_refused_exchange_still_has_a_session() -> None:
    sessions = processor()
    sessions.on_request(exchange(x_session_id="talk", x_session_end="true"))
    found = exchange(x_session_id="talk")
    sessions.on_request(found)
    assert found.refusal is not None
    assert found.refusal.status == 410
    assert found.session is not None


def test_the_tail_tells_which_messages_are_new() -> None:
    sessions = processor()
    for number, texts in enumerate((["hi"], ["hi", "hello", "how?"]), start=1):
        found = exchange(number, x_session_id="talk")
        sessions.on_request(found)
        found.request = said(*texts)
        found.response = answered("hello")
        sessions.on_tail(found)
    assert found.session is not None
    assert (found.session.parent_exchange, found.session.new_from) == ("e-1", 1)


def test_the_tail_fills_in_what_the_headers_left_open() -> None:
    sessions = processor()
    found = exchange(x_session_id="talk")
    sessions.on_request(found)
    found.request = said("hi", user="alice")
    found.request.messages.append(entry_of(Message("tool", (ToolCallResponse("42", "call_1"),))))
    sessions.on_tail(found)
    assert (found.participant, found.user) == ("agent", "alice")


def test_what_a_header_said_stays() -> None:
    sessions = processor()
    found = exchange(x_session_id="talk", x_participant="memory", x_user_id="bob")
    sessions.on_request(found)
    found.request = said("hi", user="alice")
    sessions.on_tail(found)
    assert (found.participant, found.user) == ("memory", "bob")


def test_configured_headers_and_times_are_used() -> None:
    sessions = processor(config=SessionConfig.model_validate({"headers": ["X-Conversation"]}))
    found = exchange(x_conversation="own", x_claude_code_session_id="cc")
    sessions.on_request(found)
    assert found.session is not None
    assert found.session.id == "own"


def test_claude_code_is_recognised_by_its_body() -> None:
    reading = said("hi", user=json.dumps({"device_id": "d", "session_id": "cafe"}))
    reading.session_hints = {"metadata.user_id": reading.user or ""}
    found = exchange()
    processor(Body(reading)).on_request(found)
    assert found.session is not None
    assert (found.session.id, found.session.source, found.user) == ("cafe", "body", "d")


def test_giant_tool_definitions_are_told_apart_but_not_kept() -> None:
    sessions = processor()
    places = []
    for number, tools in enumerate((b"a" * 300_000, b"a" * 300_000, b"b" * 300_000, b"a" * 1000), start=1):
        found = exchange(number, x_session_id="talk")
        sessions.on_request(found)
        found.request = said(*["hi", "hello", "how?", "so", "well?"][: number * 2 - 1])
        found.request.tools = tools
        found.response = answered(["hello", "so", "fine", "bye"][number - 1])
        sessions.on_tail(found)
        assert found.session is not None
        places.append(found.session.new_from)
    assert places == [0, 1, 0, 0]
    assert [*map(len, sessions._threads._tools)] == [1000]


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ({"lineage": "perhaps"}, "boolean"),
        ({"headers": ["no header"]}, "write one such as x-conversation"),
        ({"window": "soon"}, "300ms"),
    ],
)
def test_a_wrong_setting_names_its_remedy(written: dict[str, object], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        SessionConfig.model_validate(written)
