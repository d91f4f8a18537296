from collections import Counter

import pytest

from gateway.model.exchange import Participant
from gateway.model.message import Entry, Message, RequestReading, Text, ToolCallResponse
from gateway.providers.known import entry_of
from gateway.sessions.agents import Client
from gateway.sessions.identity import Principals, identity_of, speaker, user_of

CLIENT = Client("openai-python", False)


@pytest.mark.parametrize(
    ("headers", "field", "value"),
    [
        ({}, "workspace", "default"),
        ({b"x-workspace": b"research"}, "workspace", "research"),
        ({b"x-workspace": b"a\nb"}, "workspace", "default"),
        ({b"x-workspace": b"x" * 65}, "workspace", "default"),
        ({}, "user", None),
        ({b"x-user-id": b"alice@example.com"}, "user", "alice@example.com"),
        ({b"x-user-id": b"\xff"}, "user", None),
        ({}, "participant", None),
        ({b"x-participant": b"Tool"}, "participant", "tool"),
        ({b"x-participant": b"llm"}, "participant", None),
        ({}, "origin", "openai-python"),
        ({b"x-origin": b"help desk"}, "origin", "help desk"),
        ({b"x-origin": b"\x00"}, "origin", "openai-python"),
        ({}, "service", "openai"),
        ({b"x-service": b"billing"}, "service", "billing"),
    ],
)
def test_headers_say_who_speaks(headers: dict[bytes, bytes], field: str, value: str | None) -> None:
    assert getattr(identity_of(headers, "p", CLIENT, "openai", Counter()), field) == value


def test_a_label_that_cannot_be_one_is_counted_by_its_header() -> None:
    ignored: Counter[str] = Counter()
    identity_of({b"x-user-id": b"\xff", b"x-participant": b"ghost"}, "p", CLIENT, "openai", ignored)
    assert ignored == {"x-user-id": 1, "x-participant": 1}


def test_the_same_key_is_the_same_principal_in_whichever_slot_it_came() -> None:
    principals = Principals(b"secret")
    found = {
        principals.of(headers)
        for headers in (
            {b"authorization": b"Bearer sk-1"},
            {b"authorization": b"bearer sk-1"},
            {b"x-api-key": b"sk-1"},
            {b"api-key": b"sk-1"},
            {b"x-goog-api-key": b"sk-1"},
            {b"ocp-apim-subscription-key": b"sk-1"},
        )
    }
    assert len(found) == 1
    assert "sk-1" not in found.pop()


def test_other_keys_and_other_secrets_are_other_principals() -> None:
    header = {b"x-api-key": b"sk-1"}
    found = {
        Principals(b"one").of(header),
        Principals(b"two").of(header),
        Principals(b"one").of({b"x-api-key": b"sk-2"}),
        Principals(b"one").of({}),
    }
    assert len(found) == 4
    assert "" in found


@pytest.mark.parametrize(
    "slot", [b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"ocp-apim-subscription-key"]
)
def test_two_callers_with_other_keys_in_the_same_slot_are_two_principals(slot: bytes) -> None:
    found = {Principals(b"secret").of({slot: key}) for key in (b"tenant-1", b"tenant-2")}
    assert len(found - {""}) == 2


def test_credentials_are_remembered_within_bounds() -> None:
    principals = Principals(b"secret")
    first = principals.of({b"x-api-key": b"key-0"})
    for number in range(10_000):
        principals.of({b"x-api-key": b"key-%d" % number})
    assert principals.of({b"x-api-key": b"key-0"}) == first
    assert len(principals._known) <= 4096


def reading(*entries: Entry, user: str | None = None) -> RequestReading:
    found = RequestReading()
    found.messages = list(entries)
    found.user = user
    return found


@pytest.mark.parametrize(
    ("last", "participant"),
    [
        (Message("user", (Text("hi"),)), "user"),
        (Message("user", (Text('say "type":"tool_call_response"'),)), "user"),
        (Message("tool", (ToolCallResponse("42", "call_1"),)), "agent"),
        (Message("user", (ToolCallResponse("42", "toolu_1"),)), "agent"),
        (Message("agent", (Text("There are 25 plums"),)), "agent"),
    ],
)
def test_an_agent_answers_with_a_tools_result(last: Message, participant: Participant) -> None:
    assert speaker(reading(entry_of(last)), {}) == participant


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_behind_a_tools_result_do_not_make_it_a_users(role: str) -> None:
    result = entry_of(Message("tool", (ToolCallResponse("42", "toolu_1"),)))
    instructions = entry_of(Message(role, (Text("These agents are available"),)))
    assert speaker(reading(result, instructions), {}) == "agent"
    assert speaker(reading(instructions), {}) == "user"


@pytest.mark.parametrize("header", [b"x-claude-code-agent-id", b"x-openai-subagent", b"x-parent-session-id"])
def test_what_a_sub_agent_is_told_no_user_said(header: bytes) -> None:
    told = reading(entry_of(Message("user", (Text("Count the plums"),))))
    assert speaker(told, {header: b"a1"}) == "agent"
    assert speaker(told, {b"x-app": b"cli"}) == "user"


def test_a_request_without_messages_is_a_users() -> None:
    assert speaker(reading(), {}) == "user"


@pytest.mark.parametrize(
    ("written", "user"),
    [(None, None), ("alice", "alice"), ("user_ab_account__session_cafe", "ab"), ("caf\u00e9", None), ("\ud800", None)],
)
def test_a_body_names_the_user(written: str | None, user: str | None) -> None:
    assert user_of(reading(user=written), Counter()) == user


def test_a_packed_field_names_the_user_where_the_reader_left_it_out() -> None:
    found = reading()
    found.session_hints = {"metadata.user_id": '{"device_id": "d", "session_id": "s"}'}
    assert user_of(found, Counter()) == "d"
