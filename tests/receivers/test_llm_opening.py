"""What becomes of a request's first line: its route, its target upstream, its trace."""

import json

import pytest

from gateway.model.exchange import Exchange
from gateway.providers.gemini_generate import GeminiGenerate
from gateway.providers.generic import Generic
from gateway.receivers.llm import LlmReceiver
from tests.receivers.conftest import HELD_KEY, MakeReceiver, head_of

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def opened(receiver: LlmReceiver, target: str, *headers: tuple[str, str], method: str = "POST") -> Exchange:
    exchange = receiver.open(head_of(target, *headers, method=method)).exchange
    assert exchange is not None
    return exchange


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_who_asks_for_the_root_is_answered_without_an_exchange(receiver: LlmReceiver, method: str) -> None:
    plan = receiver.open(head_of("/", method=method))
    assert (plan.exchange, plan.answer, plan.refusal, plan.origin) == (None, 200, None, None)


def test_posting_to_the_root_is_an_unknown_route(receiver: LlmReceiver) -> None:
    refusal = receiver.open(head_of("/")).refusal
    assert refusal is not None
    assert (refusal.status, refusal.code) == (404, "unknown_route")


def test_an_unknown_path_is_told_the_prefixes_that_there_are(receiver: LlmReceiver) -> None:
    plan = receiver.open(head_of("/nowhere/v1/chat?key=AIza"))
    assert plan.refusal is not None
    assert plan.exchange is not None
    said = json.loads(receiver.refusal_body(plan.exchange, plan.refusal))["error"]["message"]
    assert "/openai /anthropic /local /claude" in said
    assert "AIza" not in said + plan.exchange.target


def test_told_by_path_another_providers_key_is_a_404(receiver: LlmReceiver) -> None:
    plan = receiver.open(head_of("/v1/chat/completions", ("x-api-key", "sk-ant-1")))
    assert plan.refusal is not None
    assert plan.refusal.code == "unknown_route"
    assert plan.forward == []


@pytest.mark.parametrize(
    ("target", "sent", "host"),
    [
        ("/openai/v1/chat/completions", b"/v1/chat/completions", b"api.openai.com"),
        ("/v1/chat/completions?a=1&b=%20", b"/v1/chat/completions?a=1&b=%20", b"api.openai.com"),
        ("/v1/messages?beta=true", b"/v1/messages?beta=true", b"api.anthropic.com"),
        ("/openai/v1/files/a%2Fb?c=d?e", b"/v1/files/a%2Fb?c=d?e", b"api.openai.com"),
        ("/openai//v1/./x/../m\xf6?q=\xe9", b"//v1/./x/../m\xf6?q=\xe9", b"api.openai.com"),
        ("/openai/v1/x?a=%zz&&b", b"/v1/x?a=%zz&&b", b"api.openai.com"),
        ("/local/v1/models", b"/tenant/v1/models", b"127.0.0.1:11434"),
        ("/local", b"/tenant/", b"127.0.0.1:11434"),
        ("/claude/v1/messages", b"/v1/messages", b"[::1]:8080"),
    ],
)
def test_the_target_stays_as_it_is_below_the_base_url(
    receiver: LlmReceiver, target: str, sent: bytes, host: bytes
) -> None:
    plan = receiver.open(head_of(target, ("host", "gw:4000")))
    assert plan.target == sent
    assert plan.forward[0] == (b"host", host)


def test_a_request_without_a_host_gets_the_upstreams(receiver: LlmReceiver) -> None:
    assert receiver.open(head_of("/openai/v1/models")).forward == [(b"Host", b"api.openai.com")]


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/openai/v1/models?key=sg-abc", b"/v1/models"),
        ("/openai/v1/models?a=1&key=sg-abc&b=2", b"/v1/models?a=1&b=2"),
        ("/openai/v1/models?api_key=SG-abc&b=2", b"/v1/models?b=2"),
        ("/openai/v1/models?api-key=sg-abc", b"/v1/models"),
        ("/openai/v1/models?key=%73g-abc&b=%2F", b"/v1/models?b=%2F"),
        ("/openai/v1/models?%6Bey=sg%2Dabc", b"/v1/models"),
        ("/openai/v1/models?key=AIza&q=sg-1", b"/v1/models?key=AIza&q=sg-1"),
        ("/openai/v1/models?key=%20sg-abc", b"/v1/models"),
        ("/openai/v1/models?key=,sg-abc&a", b"/v1/models?a"),
        ("/openai/v1/models?key=%22sg-abc%22", b"/v1/models"),
        ("/openai/v1/models?key=Bearer%20sg-abc", b"/v1/models"),
        ("/openai/v1/models?key=%2573g-abc", b"/v1/models"),
        ("/openai/v1/models?key[]=sg-abc", b"/v1/models"),
        ("/openai/v1/models?key%20=sg-abc", b"/v1/models"),
        ("/openai/v1/models?x-api-key=sg-abc&x-goog-api-key=sg-abc&access_token=sg-abc&b=2", b"/v1/models?b=2"),
        ("/openai/v1/models?a=1;key=sg-abc", b"/v1/models?a=1"),
        ("/openai/v1/models?a=1%26key=sg-abc", b"/v1/models"),
        ("/openai/v1/models?a=1#key=sg-abc", b"/v1/models?a=1"),
        ("/openai/v1/models#key=sg-abc", b"/v1/models"),
        ("/openai/v1/models#key=sg-abc?b=2", b"/v1/models?b=2"),
        ("/openai/v1/models;key=sg-abc/x", b"/v1/models"),
        ("/openai/v1/models;a=1#%6bey=%73g-abc", b"/v1/models;a=1"),
        ("/openai/v1/models;a=sg-1#c", b"/v1/models;a=sg-1#c"),
        ("/openai/v1/models?&a=sg-1;b&&key=asg-1#c", b"/v1/models?&a=sg-1;b&&key=asg-1#c"),
    ],
)
def test_a_gateway_key_in_the_query_never_leaves(receiver: LlmReceiver, target: str, sent: bytes) -> None:
    assert receiver.open(head_of(target)).target == sent


@pytest.mark.parametrize("path", ["/v1/x%23key=sg-abc", "/v1/x%3Fa=1%26key%3Dsg-abc", "/v1/x%253bkey=sg-abc"])
def test_a_gateway_key_that_hides_in_a_path_goes_nowhere(receiver: LlmReceiver, path: str) -> None:
    plan = receiver.open(head_of(f"/openai{path}"))
    assert plan.refusal is not None
    assert (plan.refusal.status, plan.origin) == (400, None)
    assert plan.exchange is not None
    assert "sg-abc" not in plan.exchange.target


def test_beside_a_held_key_the_clients_own_in_a_fragment_does_not_leave(receiver: LlmReceiver) -> None:
    assert receiver.open(head_of("/local/v1/models#key=AIza")).target == b"/tenant/v1/models"


@pytest.mark.parametrize(
    "path",
    [
        "/..",
        "/../admin",
        "/v1/../../admin",
        "/v1/%2e%2E/x",
        "/v1/.%2e",
        "/v1\\..\\x",
        "/v1/..%2fx",
        "/..;/x",
        "/v1%2f..%2f..%2fadmin",
        "/v1%5C..%5cx",
        "/v1/..#x",
        "/v1/..%23",
    ],
)
def test_nobody_climbs_above_a_base_url(receiver: LlmReceiver, path: str) -> None:
    plan = receiver.open(head_of(f"/local{path}"))
    assert plan.refusal is not None
    assert (plan.refusal.status, plan.refusal.code) == (400, "bad_request")
    assert plan.exchange is not None
    assert plan.origin is None


@pytest.mark.parametrize("path", ["/v1/..x", "/v1/x..", "/v1/...", "/v1/a.b", "/v1/%2e/x"])
def test_dots_that_climb_nowhere_stay(receiver: LlmReceiver, path: str) -> None:
    assert receiver.open(head_of(f"/local{path}")).target == f"/tenant{path}".encode()


def test_where_the_base_url_has_no_path_there_is_nothing_to_climb_above(receiver: LlmReceiver) -> None:
    assert receiver.open(head_of("/openai/v1/../x")).target == b"/v1/../x"


def test_beside_a_held_key_the_clients_own_in_the_query_does_not_leave(receiver: LlmReceiver) -> None:
    assert receiver.open(head_of("/local/v1/models?key=AIza&api_key=k&b=2")).target == b"/tenant/v1/models?b=2"


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/openai/v1/models?key=AIzaSecret", "/v1/models?key=***"),
        ("/openai/v1/models?a=1&KEY=AIzaSecret&b=2", "/v1/models?a=1&KEY=***&b=2"),
        ("/openai/v1/models?api_key=AIzaSecret&api-key=AIzaSecret", "/v1/models?api_key=***&api-key=***"),
        ("/openai/v1/models?%6bey=AIzaSecret&b=%2F", "/v1/models?%6bey=***&b=%2F"),
        ("/openai/v1/models?access_token=ya29.AIzaSecret", "/v1/models?access_token=***"),
        ("/openai/v1/models?monkey=1", "/v1/models?monkey=1"),
        ("/nowhere?key=AIzaSecret", "/nowhere?key=***"),
        ("/nowhere#key=AIzaSecret", "/nowhere#key=***"),
        ("/openai/v1/models#key=AIzaSecret", "/v1/models#key=***"),
        ("/openai/v1/models;key=AIzaSecret;b", "/v1/models;key=***"),
        ("/openai/v1/models?a=1;key=AIza;Secret&b=2", "/v1/models?a=1;key=***&b=2"),
        ("/openai/v1/models?a=1#key=AIzaSecret", "/v1/models?a=1#key=***"),
        ("/openai/v1/models?token=sg-s3cr3t&b", "/v1/models?token=***&b"),
        ("/openai/v1/models?authorization=Bearer%20sk-s3cr3t", "/v1/models?authorization=***"),
        ("/openai/v1/models?auth=s3cr3t", "/v1/models?auth=***"),
        ("/openai/v1/models?X-Goog-Api-Key=AIzaSecret", "/v1/models?X-Goog-Api-Key=***"),
        ("/openai/v1/models?key[]=AIzaSecret", "/v1/models?key[]=***"),
        ("/openai/v1/models?%2561uth=s3cr3t", "/v1/models?***"),
        ("/openai/v1/models?a=1%26token%3Dsg-s3cr3t", "/v1/models?a=***"),
        ("/openai/v1/models?a%26token%3Dsg-s3cr3t=1&b", "/v1/models?***&b"),
        ("/openai/v1/models?api-version=2026-01-01&pageToken=5", "/v1/models?api-version=2026-01-01&pageToken=5"),
    ],
)
def test_a_key_in_the_query_is_masked_in_what_is_kept(receiver: LlmReceiver, target: str, kept: str) -> None:
    assert opened(receiver, target).target == kept


def test_a_malformed_request_keeps_no_key_either(receiver: LlmReceiver) -> None:
    plan = receiver.open(head_of("/nowhere"))
    assert plan.refusal is not None
    exchange = receiver.malformed(head_of("/openai/v1/x?key=AIzaSecret"), plan.refusal)
    assert exchange is not None
    assert "AIzaSecret" not in exchange.target
    assert receiver.malformed(None, plan.refusal) is not None


def test_the_exchange_says_where_it_goes_and_what_it_speaks(receiver: LlmReceiver) -> None:
    exchange = opened(receiver, "/local/v1/chat/completions")
    assert (exchange.provider, exchange.api, exchange.operation) == ("local", "openai_chat", "chat")
    assert (exchange.server_address, exchange.server_port) == ("127.0.0.1", 11434)
    assert opened(receiver, "/openai/v1/files", method="GET").api == "generic"


@pytest.mark.parametrize(
    ("more", "name"),
    [({}, "azure.ai.openai"), ({"provider_name": "our-azure"}, "our-azure")],
)
def test_the_convention_has_a_word_for_azure(make_receiver: MakeReceiver, more: dict[str, str], name: str) -> None:
    azure = {"api": "azure", "base_url": "https://east.openai.azure.com"} | more
    receiver = make_receiver(providers={"openai": {}, "azure": azure})
    exchange = opened(receiver, "/azure/openai/deployments/gpt/chat/completions")
    assert (exchange.provider, exchange.provider_name) == ("azure", name)


def test_the_held_key_stands_nowhere_in_the_exchange(receiver: LlmReceiver) -> None:
    assert HELD_KEY not in repr(opened(receiver, "/local/v1/chat/completions"))


# Trace context


@pytest.mark.parametrize("version", ["00", "01-extra", "cc"])
def test_the_exchange_joins_the_callers_trace(receiver: LlmReceiver, version: str) -> None:
    number, _, extra = version.partition("-")
    traceparent = f"{number}-{TRACE}-{PARENT}-01" + (f"-{extra}" if extra else "")
    exchange = opened(receiver, "/openai/v1/x", ("traceparent", traceparent), ("tracestate", "a=1"))
    assert exchange.trace_id.hex() == TRACE
    assert exchange.parent_span_id.hex() == PARENT
    assert (exchange.trace_flags, exchange.trace_state) == (1, "a=1")
    assert exchange.span_id.hex() != PARENT


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "garbage",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-extra",
        f"00-{TRACE}-{PARENT}-012",
        f"01-{TRACE}-{PARENT}-01extra",
        f"00-{TRACE[:-1]}-{PARENT}-01",
    ],
)
def test_an_invalid_traceparent_starts_a_new_trace(receiver: LlmReceiver, traceparent: str) -> None:
    exchange = opened(receiver, "/openai/v1/x", ("traceparent", traceparent), ("tracestate", "a=1"))
    assert exchange.trace_id.hex() != TRACE
    assert any(exchange.trace_id)
    assert (exchange.parent_span_id, exchange.trace_state) == (b"", "")


def test_no_two_exchanges_share_an_id_a_trace_or_a_span(receiver: LlmReceiver) -> None:
    exchanges = [opened(receiver, "/openai/v1/x") for _ in range(500)]
    for field in ("id", "trace_id", "span_id"):
        assert len({getattr(exchange, field) for exchange in exchanges}) == 500


# The memory of formats


class CountingFormat(Generic):
    def __init__(self) -> None:
        self.asked = 0

    def matches(self, method: str, path: str) -> bool:
        self.asked += 1
        return False


def test_the_format_of_a_path_is_remembered_within_a_bound(make_receiver: MakeReceiver) -> None:
    counting = CountingFormat()
    receiver = make_receiver(formats=[counting, Generic()])
    opened(receiver, "/openai/v1/one")
    asked = counting.asked
    for _ in range(3):
        opened(receiver, "/openai/v1/one")
    assert counting.asked == asked > 0
    for number in range(5000):
        opened(receiver, f"/openai/v1/{number}")
    assert len(receiver._calls) <= 1024


@pytest.mark.parametrize("query", ["key=AIzaSecret", "alt=sse&key=AIzaSecret", "%6bey=AIzaSecret"])
def test_told_by_path_a_key_in_the_query_is_nobodys(receiver: LlmReceiver, query: str) -> None:
    plan = receiver.open(head_of(f"/v1/models?{query}"))
    assert plan.refusal is not None
    assert plan.refusal.code == "unknown_route"
    assert plan.origin is None


def test_an_escape_in_the_path_leaves_no_call_unread(receiver: LlmReceiver) -> None:
    plan = receiver.open(head_of("/openai/v1/chat/completion%73", method="POST"))
    assert plan.exchange is not None
    assert plan.exchange.api == "openai_chat"
    assert plan.target == b"/v1/chat/completion%73"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/openai/v1/chat/completions#x"),
        ("POST", "/openai/v1/chat/completions/"),
        ("POST", "/openai/v1/chat/completions%20"),
        ("POST", "/openai/V1/Chat/Completions"),
        ("POST", "/openai/v1/chat//completions"),
        ("POST", "/openai/v1/chat/./completions;a=b"),
        ("PUT", "/openai/v1/chat/completions"),
    ],
)
def test_a_path_that_servers_take_for_another_leaves_no_call_unread(
    receiver: LlmReceiver, method: str, path: str
) -> None:
    plan = receiver.open(head_of(path, method=method))
    assert plan.exchange is not None
    assert plan.exchange.api == "openai_chat"
    assert plan.target == path.removeprefix("/openai").encode()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/openai/v1/chat/completions"), ("POST", "/openai/v1/xcompletions")]
)
def test_what_no_server_takes_for_a_call_is_none(receiver: LlmReceiver, method: str, path: str) -> None:
    assert opened(receiver, path, method=method).api == "generic"


def test_told_by_path_a_key_in_the_query_reaches_google(make_receiver: MakeReceiver) -> None:
    gemini = {"base_url": "https://generativelanguage.googleapis.com"}
    receiver = make_receiver((GeminiGenerate(), Generic()), providers={"gemini": gemini}, default_provider="gemini")
    target = "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&key=AIzaSecret"
    plan = receiver.open(head_of(target))
    assert plan.target == target.encode()
    assert plan.exchange is not None
    assert plan.exchange.target == target.replace("AIzaSecret", "***")
    assert (plan.exchange.api, plan.exchange.provider_name) == ("gemini_generate_content", "gcp.gemini")


def test_a_provider_of_another_name_keeps_it_on_spans(make_receiver: MakeReceiver) -> None:
    providers = {"cloud": {"api": "vertex", "base_url": "https://europe-west1-aiplatform.googleapis.com"}}
    exchange = opened(make_receiver(providers=providers, default_provider="cloud"), "/cloud/v1/projects/p/x")
    assert (exchange.provider, exchange.provider_name) == ("cloud", "cloud")
