"""Which headers leave, which never do, and what the client gets of ours."""

import pytest

from gateway.contracts import Processor
from gateway.model.exchange import Headers
from gateway.model.session import SessionRef
from gateway.proxy.headers import trailer_lines
from gateway.receivers.llm import LlmReceiver
from tests.receivers.conftest import HELD_KEY, MakeReceiver, head_of

OURS = [
    "x-spangate-session-id",
    "X-Spangate-Session-Id",
    "x-spangate-key",
    "x-spangate-session",
    "x-spangate-exchange",
    "x-spangate-of-tomorrow",
    "x_spangate_key",
    "x-session-end",
    "x-user-id",
    "X-User-Id",
    "x-participant",
    "x-origin",
    "x-service",
    "x-workspace",
]
SLOTS = ["Authorization", "x-api-key", "api-key", "X-Goog-Api-Key"]
TRACE = [("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"), ("tracestate", "a=1"), ("baggage", "session.id=1")]


def sent(receiver: LlmReceiver, target: str, *headers: tuple[str, str]) -> Headers:
    return receiver.open(head_of(target, ("Host", "gw"), *headers)).forward[1:]


@pytest.mark.parametrize("name", OURS)
def test_a_header_for_the_gateway_never_leaves(receiver: LlmReceiver, name: str) -> None:
    assert sent(receiver, "/openai/v1/x", (name, "1"), ("accept", "*/*")) == [(b"accept", b"*/*")]


@pytest.mark.parametrize("name", [*OURS, *SLOTS, "traceparent"])
def test_what_is_for_the_gateway_or_a_key_does_not_leave_as_a_trailer(receiver: LlmReceiver, name: str) -> None:
    plan = receiver.open(head_of("/openai/v1/x", ("Host", "gw")))
    assert trailer_lines([(name.encode(), b"1")], {}, plan.withheld) == b""


@pytest.mark.parametrize(
    "name", ["x-session-id", "x-session-affinity", "x-client-request-id", "x-spangate", "x-conversation", "x-user"]
)
def test_a_header_that_is_not_only_ours_leaves(receiver: LlmReceiver, name: str) -> None:
    assert sent(receiver, "/openai/v1/x", (name, "1")) == [(name.encode(), b"1")]


def test_name_value_order_and_repetition_stay(receiver: LlmReceiver) -> None:
    headers = [("X-B", "2"), ("x-a", " 1  "), ("X-b", "3"), ("Cookie", "a=b"), ("accept-encoding", "gzip, br")]
    expected = [(name.encode(), value.encode()) for name, value in headers]
    assert sent(receiver, "/openai/v1/x", *headers) == expected


def test_what_connection_names_does_not_cross(receiver: LlmReceiver) -> None:
    headers = [("Connection", "keep-alive, X-Secret"), ("x-secret", "1"), ("Connection", "x-other"), ("X-Other", "2")]
    assert sent(receiver, "/openai/v1/x", *headers, ("te", "trailers"), ("x-kept", "3")) == [(b"x-kept", b"3")]


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize(
    "value",
    [
        "sg-abc",
        "Bearer sg-abc",
        "bearer  SG-abc",
        "Token sg-abc",
        "Bearer,sg-abc",
        'Bearer "sg-abc"',
        "Bearer=sg-abc",
        "key:sg-abc",
        "Basic dXNlcjpzZy1hYmM=",
        "basic c2ctYWJjOg",
    ],
)
def test_a_gateway_key_never_leaves_whatever_its_slot(receiver: LlmReceiver, slot: str, value: str) -> None:
    assert sent(receiver, "/openai/v1/x", (slot, value)) == []


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("k=sg-abc", None),
        ("sg-abc", None),
        ("k=sg-abc; j=sg-def", None),
        ("a=b; token=sg-abc", b"a=b"),
        ("token=sg-abc; a=b", b"a=b"),
        ('a=b;c="d e";  token=sg-abc;f=g%20;;h', b'a=b;c="d e";f=g%20;;h'),
        ('a="sg-abc"; b=c', b"b=c"),
        ('a="x;sg-abc"; b=c', b'a="x; b=c'),
    ],
)
def test_of_cookies_the_one_with_a_gateway_key_stays_in(receiver: LlmReceiver, value: str, left: bytes | None) -> None:
    forwarded = sent(receiver, "/openai/v1/x", ("X-A", "1"), ("Cookie", value), ("X-B", "2"))
    cookie = [] if left is None else [(b"Cookie", left)]
    assert forwarded == [(b"X-A", b"1"), *cookie, (b"X-B", b"2")]


def test_repeated_cookies_are_told_apart(receiver: LlmReceiver) -> None:
    headers = [("Cookie", "a=b"), ("cookie", "k=sg-abc"), ("X-A", "1"), ("Connection", "x-hop"), ("X-Hop", "2")]
    assert sent(receiver, "/openai/v1/x", *headers) == [(b"Cookie", b"a=b"), (b"X-A", b"1")]


@pytest.mark.parametrize(
    "value", ["Bearer sk-sg-own", "Bearer msg-1", "Basic dXNlcjpzay1vd24=", "Basic %%%", "Basic YQ"]
)
def test_what_only_looks_like_a_gateway_key_leaves(receiver: LlmReceiver, value: str) -> None:
    assert sent(receiver, "/openai/v1/x", ("Authorization", value)) == [(b"Authorization", value.encode())]


@pytest.mark.parametrize("values", [("Bearer sg-a", "Bearer sk-b"), ("Bearer sk-b", "Bearer sg-a")])
def test_a_gateway_key_does_not_hide_behind_a_repeated_header(receiver: LlmReceiver, values: tuple[str, ...]) -> None:
    forwarded = sent(receiver, "/openai/v1/x", *[("Authorization", value) for value in values])
    assert not any(b"sg-" in value for _, value in forwarded)


@pytest.mark.parametrize("slot", SLOTS)
def test_the_clients_own_key_passes_where_the_gateway_holds_none(receiver: LlmReceiver, slot: str) -> None:
    assert sent(receiver, "/openai/v1/x", (slot, "sk-own")) == [(slot.encode(), b"sk-own")]


@pytest.mark.parametrize(
    ("target", "credential"),
    [
        ("/local/v1/x", (b"Authorization", b"Bearer " + HELD_KEY.encode())),
        ("/claude/v1/x", (b"x-api-key", HELD_KEY.encode())),
    ],
)
def test_a_held_key_replaces_the_clients_in_every_slot(
    receiver: LlmReceiver, target: str, credential: tuple[bytes, bytes]
) -> None:
    headers = [(slot, "sk-client") for slot in SLOTS] + [("authorization", "Bearer sk-client-2")]
    assert sent(receiver, target, *headers) == [credential]


def test_a_held_key_goes_to_its_own_provider_only(receiver: LlmReceiver) -> None:
    for target in ("/openai/v1/x", "/anthropic/v1/messages", "/v1/messages", "/v1/chat/completions"):
        assert HELD_KEY not in repr(sent(receiver, target))


def test_trace_context_stays_here_unless_it_is_to_propagate(receiver: LlmReceiver) -> None:
    assert sent(receiver, "/openai/v1/x", *TRACE) == []


def test_with_propagate_upstream_spans_become_children_of_the_exchange(make_receiver: MakeReceiver) -> None:
    plan = make_receiver(propagate=True).open(head_of("/openai/v1/x", ("host", "gw"), *TRACE))
    assert plan.exchange is not None
    parent = f"00-{'a' * 32}-{plan.exchange.span_id.hex()}-01".encode()
    assert plan.forward[1:] == [(b"tracestate", b"a=1"), (b"baggage", b"session.id=1"), (b"traceparent", parent)]


def test_with_propagate_a_call_without_a_trace_begins_one(make_receiver: MakeReceiver) -> None:
    plan = make_receiver(propagate=True).open(head_of("/openai/v1/x", ("host", "gw")))
    assert plan.exchange is not None
    names = [name for name, _ in plan.forward]
    assert names.count(b"traceparent") == 1
    assert plan.exchange.trace_id.hex().encode() in plan.forward[-1][1]


def test_the_answer_names_session_exchange_trace_outcome_and_time(receiver: LlmReceiver) -> None:
    exchange = receiver.open(head_of("/openai/v1/x")).exchange
    assert exchange is not None
    exchange.session = SessionRef("s-1", "explicit", 1.0)
    exchange.verdict.outcome = "flagged"
    exchange.overhead_ns = 140_000
    assert receiver.response_headers(exchange) == (
        b"x-spangate-session: s-1\r\n"
        b"x-spangate-exchange: %b\r\n"
        b"x-spangate-trace-id: %b\r\n"
        b"x-spangate-outcome: flagged\r\n"
        b"server-timing: gateway;dur=0.14\r\n" % (exchange.id.encode(), exchange.trace_id.hex().encode())
    )


def test_without_a_session_there_is_no_session_header(receiver: LlmReceiver) -> None:
    exchange = receiver.open(head_of("/openai/v1/x")).exchange
    assert exchange is not None
    assert b"x-spangate-session:" not in receiver.response_headers(exchange)


class ReadsAnswers(Processor):
    needs_reading = False
    needs_answer = True


def test_who_must_read_answers_first_gets_them_without_a_coding(make_receiver: MakeReceiver) -> None:
    receiver = make_receiver(processors=[ReadsAnswers()])
    headers = [("accept-encoding", "gzip, br"), ("accept", "*/*"), ("Accept-Encoding", "zstd")]
    assert sent(receiver, "/openai/v1/x", *headers) == [(b"accept", b"*/*"), (b"Accept-Encoding", b"identity")]
    assert sent(make_receiver(), "/openai/v1/x", *headers) == [(n.encode(), v.encode()) for n, v in headers]


def test_who_must_read_answers_first_gets_a_websocket_without_extensions(make_receiver: MakeReceiver) -> None:
    handshake = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ]
    for processors, offered in (((ReadsAnswers(),), False), ((), True)):
        plan = make_receiver(processors=processors).open(
            head_of("/openai/v1/x", ("Host", "gw"), *handshake, method="GET")
        )
        assert (b"Sec-WebSocket-Extensions" in [name for name, _ in plan.forward]) == offered


def test_headers_beyond_what_is_remembered_are_treated_alike(receiver: LlmReceiver) -> None:
    many = [(f"x-{number}", "1") for number in range(200)]
    secret = [("x-spangate-key", "k"), ("Authorization", "Bearer sg-secret"), ("x-user-id", "me")]
    assert sent(receiver, "/openai/v1/x", *many, *secret) == [(name.encode(), b"1") for name, _ in many]
