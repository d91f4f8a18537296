import json

import pytest

from gateway.model.message import RequestReading
from gateway.sessions.agents import client_of
from gateway.sessions.ids import bounded, fresh, is_fresh
from gateway.sessions.packed import unpacked
from gateway.sessions.sources import BORROWED, BadExplicitIdError, Named, Sources

UUID = "0b1c2d3e-1111-2222-3333-444455556666"


@pytest.mark.parametrize(
    ("headers", "agent", "named"),
    [
        ({b"x-spangate-session-id": b"mine"}, False, Named("mine", True)),
        ({b"x-spangate-session-id": b"mine", b"x-session-id": b"other"}, False, Named("mine", True)),
        ({b"x-spangate-session-id": b"mine"}, True, Named("mine", True)),
        ({b"x-session-id": b"mine"}, False, Named("mine", True)),
        ({b"x-session-id": b"ses_1"}, True, Named("ses_1", False)),
        ({b"x-session-id": b"ses_1", b"x-session-affinity": b"ses_1"}, False, Named("ses_1", False)),
        ({b"x-session-id": b"mine", b"x-claude-code-session-id": b"cc"}, False, Named("mine", True)),
        ({b"x-session-id": b"  "}, False, None),
        ({b"x-claude-code-session-id": b"cc", b"x-foo-session-id": b"foo"}, False, Named("cc", False)),
        ({b"x-conversation": b"own", b"x-claude-code-session-id": b"cc"}, False, Named("own", False)),
        ({b"session-id": b"root", b"thread-id": b"sub"}, False, Named("root", False)),
        ({b"session_id": b"root"}, False, Named("root", False)),
        ({b"x-codex-turn-metadata": b'{"session_id": "root", "cwd": "/home/x"}'}, False, Named("root", False)),
        ({b"x-codex-turn-metadata": b"not json", b"x-chat-id": b"c"}, False, Named("c", False)),
        ({b"x-opencode-session": b"ses_1"}, False, Named("ses_1", False)),
        ({b"x-session-id": b"c", b"x-session-affinity": b"c", b"x-parent-session-id": b"p"}, False, Named("p", False)),
        ({b"x-opencode-session": b"c", b"x-parent-session-id": b"p"}, False, Named("p", False)),
        (
            {b"x-session-id": b"c", b"x-session-affinity": b"c", b"x-parent-session-id": b"\xff"},
            True,
            Named("c", False),
        ),
        ({b"x-session-id": b"mine", b"x-parent-session-id": b"p"}, False, Named("mine", True)),
        ({b"x-session-id": b"mine", b"x-parent-session-id": b"p"}, True, Named("mine", False)),
        ({b"x-foo-session-id": b"foo"}, False, Named("foo", False)),
        ({b"x-foo-session-id": b"foo", b"x-chat-id": b"known"}, False, Named("known", False)),
        ({b"x-chat-id": b"\xff", b"x-foo-session-id": b"foo"}, False, Named("foo", False)),
    ],
)
def test_the_surest_header_names_the_session(headers: dict[bytes, bytes], agent: bool, named: Named | None) -> None:
    assert Sources(["X-Conversation"]).in_headers(headers, agent) == named


@pytest.mark.parametrize("name", BORROWED)
def test_every_known_header_is_borrowed(name: bytes) -> None:
    value = b'{"session_id": "theirs"}' if name == b"x-codex-turn-metadata" else b"theirs"
    assert Sources([]).in_headers({name: value}, agent=True) == Named("theirs", False)


@pytest.mark.parametrize(
    "name",
    [
        b"traceparent",
        b"mcp-session-id",
        b"x-mcp-session-id",
        b"x-session-affinity",
        b"x-codex-window-id",
        b"x-parent-session-id",
        b"vscode-sessionid",
        b"x-client-request-id",
        b"x-interaction-id",
        b"x-codex-turn-state",
        b"x-claude-code-agent-id",
        b"x-amzn-bedrock-agentcore-policy-session-id",
        b"x--session-id",
        b"authorization",
    ],
)
def test_what_only_looks_like_a_conversation_names_none(name: bytes) -> None:
    assert Sources([]).in_headers({name: b"value-123"}, agent=False) is None


@pytest.mark.parametrize("value", [b"a\x01b", b"caf\xc3\xa9", b"\xff", b"tab\tin", b"\x7f"])
def test_an_explicit_id_that_cannot_be_one_is_refused(value: bytes) -> None:
    with pytest.raises(BadExplicitIdError):
        Sources([]).in_headers({b"x-session-id": value}, agent=False)


def test_a_borrowed_id_that_cannot_be_one_is_ignored_and_counted() -> None:
    sources = Sources([])
    assert sources.in_headers({b"x-chat-id": b"caf\xc3\xa9"}, agent=False) is None
    assert sources.ignored == {"header": 1}


def test_strange_header_names_cannot_fill_the_memory() -> None:
    sources = Sources([])
    for number in range(5000):
        sources.in_headers({b"x-%d-session-id-not" % number: b"v"}, agent=False)
    assert sources.in_headers({b"x-late-session-id": b"found"}, agent=False) == Named("found", False)
    assert len(sources._rank_of) < 2000


@pytest.mark.parametrize(
    ("hints", "named"),
    [
        ({}, None),
        ({"metadata.user_id": f"user_ab12_account_{UUID}_session_cafe-01"}, "cafe-01"),
        ({"metadata.user_id": json.dumps({"device_id": "d", "session_id": "cafe-02"})}, "cafe-02"),
        ({"metadata.user_id": "alice"}, None),
        ({"metadata.user_id": '{"session_id": 5}'}, None),
        ({"metadata.user_id": "{broken"}, None),
        ({"prompt_cache_key": "thread", "user": "alice", "safety_identifier": "x"}, None),
        ({"previous_response_id": "resp_1"}, None),
        ({"metadata.session_id": "m", "conversation_id": "c"}, "m"),
        ({"conversation": "conv_1"}, None),
        ({"client_metadata.session_id": "caf\u00e9", "thread_id": "t"}, "t"),
        ({"session_id": ""}, None),
    ],
)
def test_the_body_names_the_session_by_fields_that_mean_one(hints: dict[str, str], named: str | None) -> None:
    reading = RequestReading()
    reading.session_hints = hints
    assert Sources([]).in_body(reading, {}) == (Named(named, False) if named else None)


@pytest.mark.parametrize(
    ("user_agent", "named"),
    [(b"codex_exec/0.169.0 (Debian)", "thread"), (b"Codex/1", "thread"), (b"OpenAI/Python 2.1", None), (b"", None)],
)
def test_a_prompt_cache_key_is_a_thread_of_codex_alone(user_agent: bytes, named: str | None) -> None:
    reading = RequestReading()
    reading.session_hints = {"prompt_cache_key": "thread"}
    found = Sources([]).in_body(reading, {b"user-agent": user_agent})
    assert found == (Named(named, False) if named else None)


@pytest.mark.parametrize(
    ("hints", "named"),
    [({"conversation": "conv_1"}, "conv_1"), ({"conversation.id": "conv_2"}, "conv_2"), ({"session_id": "b"}, None)],
)
def test_a_conversation_that_the_provider_keeps_is_a_chain(hints: dict[str, str], named: str | None) -> None:
    reading = RequestReading()
    reading.session_hints = hints
    assert Sources([]).in_chain(reading) == (Named(named, False) if named else None)


@pytest.mark.parametrize(
    ("baggage", "named"),
    [
        (b"session.id=talk", "talk"),
        (b"a=b, session.id = talk ;ttl=5,c=d", "talk"),
        (b"session.id=a%20b%2Cc", "a b,c"),
        (b"gen_ai.conversation.id=conv", "conv"),
        (b"gen_ai.conversation.id=conv,session.id=talk", "talk"),
        (b"session.id=", None),
        (b"session.id=a%00b", None),
        (b"session.id=caf%C3%A9,gen_ai.conversation.id=conv", "conv"),
        (b"xsession.id=talk", None),
        (b",;=,,", None),
        (b"session.id=talk," + b"x" * 8200, None),
    ],
)
def test_baggage_names_the_session(baggage: bytes, named: str | None) -> None:
    assert Sources([]).in_baggage({b"baggage": baggage}) == (Named(named, False) if named else None)


def test_a_name_in_baggage_that_cannot_be_one_is_counted() -> None:
    sources = Sources([])
    assert sources.in_baggage({b"baggage": b"session.id=a%0Ab"}) is None
    assert sources.ignored == {"baggage": 1}


@pytest.mark.parametrize(
    ("packed", "user"),
    [
        (f"user_ab12_account_{UUID}_session_cafe", UUID),
        ("user_ab12_account__session_cafe", "ab12"),
        ('{"device_id": "d", "account_uuid": "a", "session_id": "s"}', "a"),
        ('{"device_id": "d", "account_uuid": "", "session_id": "s"}', "d"),
        ("alice", None),
    ],
)
def test_the_account_is_unpacked_without_the_session(packed: str, user: str | None) -> None:
    assert unpacked(packed).user == user


@pytest.mark.parametrize(
    ("raw", "session_id"),
    [
        (b"plain", "plain"),
        (b" with spaces  inside ", "with spaces  inside"),
        (b"x" * 200, "x" * 200),
        (b"", None),
        (b"   ", None),
        (b"a\nb", None),
        (b"\xc3\xa9", None),
    ],
)
def test_ids_are_printable_ascii(raw: bytes, session_id: str | None) -> None:
    assert bounded(raw) == session_id


def test_a_longer_id_is_represented_by_its_hash() -> None:
    first, second = bounded(b"x" * 201), bounded(b"x" * 202)
    assert first is not None
    assert first != second
    assert len(first) <= 200
    assert first == bounded(b"x" * 201)


def test_fresh_ids_sort_by_time_and_are_never_the_same() -> None:
    ids = [fresh(second * 1_000_000_000) for second in range(1_790_000_000, 1_790_000_100)]
    assert ids == sorted(ids)
    assert len({fresh(0) for _ in range(100)}) == 100
    assert all(is_fresh(session_id) and session_id.isascii() and len(session_id) < 40 for session_id in ids)


@pytest.mark.parametrize("session_id", ["s-1", "talk", "s-" + "g" * 29, "x-" + "0" * 29])
def test_other_ids_are_not_ours(session_id: str) -> None:
    assert not is_fresh(session_id)


@pytest.mark.parametrize(
    ("user_agent", "family", "agent"),
    [
        (b"OpenAI/Python 2.1.0", "openai-python", False),
        (b"AsyncAnthropic/JS 1.0", "asyncanthropic-js", False),
        (b"claude-cli/2.1.197 (external, cli)", "claude-cli", True),
        (b"codex_cli_rs/0.169.0 (Debian)", "codex_cli_rs", True),
        (b"opencode/1.18.33 ai-sdk/provider-utils", "opencode", True),
        (b"python-requests/2.32", "python-requests", False),
        (b"curl/8.0", "curl", False),
        (b"Mozilla/5.0 (X11)", "mozilla", False),
        (b"", "", False),
        (b"\xff\xfe", "", False),
        (b"x" * 5000, "x" * 64, False),
    ],
)
def test_the_client_is_told_by_its_user_agent(user_agent: bytes, family: str, agent: bool) -> None:
    assert client_of(user_agent) == (family, agent)
