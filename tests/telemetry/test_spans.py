"""An exchange becomes the span that the contract and the GenAI conventions describe."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from opentelemetry.proto.trace.v1 import trace_pb2

from gateway.model.exchange import End, Exchange
from gateway.model.message import Blob, Message, RequestReading, Text, Usage
from gateway.model.session import SessionRef
from gateway.model.span import KIND_CLIENT, STATUS_ERROR, STATUS_UNSET, AttributeValue, Span
from gateway.providers.known import entry_of
from gateway.telemetry.capture import Capture
from gateway.telemetry.encode import content_attributes, encode
from gateway.telemetry.spans import span_of

GOLDEN = Path(__file__).parent / "golden"


def attribute(span: Span, key: str) -> AttributeValue | None:
    found = [value for name, value in span.attributes if name == key]
    assert len(found) <= 1, f"{key} stands twice"
    return found[0] if found else None


@pytest.mark.parametrize("name", ["answered", "failed", "blocked"])
def test_span_looks_like_its_golden_file(
    name: str, exchange_named: Callable[[str], Exchange], request: pytest.FixtureRequest
) -> None:
    span = span_of(exchange_named(name))
    data = encode(span) + content_attributes(span, Capture("full"))
    seen = MessageToDict(trace_pb2.Span.FromString(data))
    golden = GOLDEN / f"{name}.json"
    if request.config.getoption("--update", default=False):
        golden.write_text(json.dumps(seen, indent=1, ensure_ascii=False) + "\n")
    assert seen == json.loads(golden.read_text())


def _every_fact(exchange: Exchange) -> None:
    exchange.session = SessionRef("s", "explicit", 1, 4, True, True, "old", "parent", 0)
    assert exchange.request is not None
    assert exchange.response is not None
    exchange.request.stream = True
    exchange.response.usage = Usage("reported", 20, 2, 10, 5, 1)
    exchange.response.raw_finish_reasons = ["end_turn"]
    exchange.cost_nusd = 1_250_000
    exchange.usage_injected = True
    exchange.status = 500


# The contract's table of attributes, with the types of the conventions.
CONTRACT: list[tuple[str, AttributeValue]] = [
    ("gen_ai.operation.name", "chat"),
    ("gen_ai.provider.name", "openai"),
    ("gen_ai.request.model", "gpt-4o"),
    ("gen_ai.response.model", "gpt-4o-2024-08-06"),
    ("server.address", "api.openai.com"),
    ("server.port", 443),
    ("spangate.event.type", "user_llm"),
    ("spangate.participant.from", "user"),
    ("spangate.participant.to", "llm"),
    ("spangate.exchange.id", "01JDX0"),
    ("gen_ai.response.id", "chatcmpl-1"),
    ("session.id", "s"),
    ("gen_ai.conversation.id", "s"),
    ("session.previous_id", "old"),
    ("spangate.session.source", "explicit"),
    ("spangate.session.confidence", 1.0),
    ("spangate.session.sequence", 4),
    ("spangate.session.header", True),
    ("spangate.exchange.parent_id", "parent"),
    ("user.id", "alice"),
    ("gen_ai.usage.input_tokens", 20),
    ("gen_ai.usage.output_tokens", 2),
    ("gen_ai.usage.cache_read.input_tokens", 10),
    ("gen_ai.usage.cache_write.input_tokens", 5),
    ("gen_ai.usage.cache_creation.input_tokens", 5),
    ("gen_ai.usage.reasoning.output_tokens", 1),
    ("spangate.cost.usd", 0.00125),
    ("spangate.usage.state", "reported"),
    ("spangate.status", "completed"),
    ("spangate.outcome", "allowed"),
    ("spangate.assessments", 0),
    ("spangate.end", "finished"),
    ("error.type", "500"),
    ("http.response.status_code", 500),
    ("gen_ai.response.finish_reasons", ("stop",)),
    ("spangate.response.finish_reasons_raw", ("end_turn",)),
    ("spangate.capture", "full"),
    ("spangate.usage.injected", True),
    ("gen_ai.response.time_to_first_chunk", 1.25),
    ("spangate.overhead_ms", 0.125),
    ("http.request.method", "POST"),
    ("url.path", "/v1/chat/completions"),
    ("openai.api.type", "chat_completions"),
    ("gen_ai.request.stream", True),
    ("gen_ai.request.temperature", 1.0),
    ("gen_ai.request.max_tokens", 100),
]


def test_every_attribute_of_the_contract_has_its_name_type_and_place(answered: Exchange) -> None:
    _every_fact(answered)
    attributes = span_of(answered).attributes
    assert attributes == CONTRACT
    assert [type(value) for _, value in attributes] == [type(value) for _, value in CONTRACT]


def test_tokens_that_were_not_said_are_left_out(answered: Exchange) -> None:
    assert answered.response is not None
    answered.response.usage = Usage("partial", input_tokens=0)
    keys = dict(span_of(answered).attributes)
    assert keys["gen_ai.usage.input_tokens"] == 0
    assert keys["spangate.usage.state"] == "partial"
    assert not any(key.startswith("gen_ai.usage.") for key in keys if key != "gen_ai.usage.input_tokens")


def test_usage_that_nobody_asked_for_in_the_clients_place_is_not_said_to_be_injected(answered: Exchange) -> None:
    assert attribute(span_of(answered), "spangate.usage.injected") is None


def test_a_cost_that_is_not_known_is_left_out_and_one_of_nothing_is_not(answered: Exchange) -> None:
    assert attribute(span_of(answered), "spangate.cost.usd") is None
    answered.cost_nusd = 0
    cost = attribute(span_of(answered), "spangate.cost.usd")
    assert (cost, type(cost)) == (0.0, float)


def test_a_derived_session_is_no_conversation(answered: Exchange) -> None:
    assert attribute(span_of(answered), "gen_ai.conversation.id") is None


def test_an_unary_answer_has_no_time_to_first_chunk(answered: Exchange) -> None:
    assert attribute(span_of(answered), "gen_ai.response.time_to_first_chunk") is None


def test_an_api_that_was_not_understood_gets_no_invented_operation(answered: Exchange) -> None:
    answered.operation, answered.request, answered.response = "", None, None
    span = span_of(answered)
    assert span.name == "POST openai"
    assert attribute(span, "gen_ai.operation.name") is None
    assert attribute(span, "spangate.capture") == "off"
    assert attribute(span, "spangate.usage.state") == "missing"
    assert span.contents == []


def test_the_name_falls_back_to_the_operation(answered: Exchange) -> None:
    answered.request = RequestReading()
    assert span_of(answered).name == "chat"


def test_a_refusal_before_any_route_is_still_a_span(answered: Exchange) -> None:
    answered.operation = answered.provider = answered.provider_name = answered.server_address = ""
    answered.request = answered.response = answered.session = None
    answered.end, answered.status, answered.method = "refused", 404, "PROPFIND"
    span = span_of(answered)
    assert (span.name, span.kind, span.status) == ("PROPFIND", KIND_CLIENT, STATUS_ERROR)
    assert attribute(span, "spangate.status") == "rejected"
    assert attribute(span, "http.request.method") == "_OTHER"
    assert attribute(span, "http.request.method_original") == "PROPFIND"


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        ("finished", 200, None),
        ("finished", 404, "404"),
        ("finished", 503, "503"),
        ("client_gone", 200, "client_gone"),
        ("upstream_gone", 200, "upstream_gone"),
        ("timeout", 0, "timeout"),
        ("shutdown", 200, "shutdown"),
    ],
)
def test_a_broken_end_is_an_error_with_a_name(answered: Exchange, end: End, status: int, error: str | None) -> None:
    answered.end, answered.status = end, status
    span = span_of(answered)
    assert attribute(span, "error.type") == error
    assert span.status == (STATUS_UNSET if error is None else STATUS_ERROR)


def test_an_escalated_exchange_says_so(answered: Exchange) -> None:
    answered.verdict.outcome = "escalated"
    assert attribute(span_of(answered), "spangate.status") == "escalated"


def test_the_span_joins_the_callers_trace(answered: Exchange) -> None:
    answered.parent_span_id, answered.trace_state = b"parent!!", "vendor=1"
    span = span_of(answered)
    assert (span.parent_span_id, span.trace_state, span.flags) == (b"parent!!", "vendor=1", 0x301)


def test_system_instructions_are_text_parts_without_a_message(answered: Exchange) -> None:
    assert answered.request is not None
    answered.request.system = [entry_of(Message("system", (Text("Be brief."), Blob("image"), Text('"Now"'))))]
    for _ in range(2):  # the second time from the entry's notes
        content = next(c for c in span_of(answered).contents if c.key == "gen_ai.system_instructions")
        assert [json.loads(item) for item in content.items] == [
            {"type": "text", "content": "Be brief."},
            {"type": "text", "content": '"Now"'},
        ]


def test_a_continuation_says_only_what_is_new(answered: Exchange) -> None:
    assert answered.request is not None
    assert answered.session is not None
    answered.request.messages = [entry_of(Message("user", (Text(text),))) for text in ("one", "two", "three")]
    answered.session.new_from = 2
    span, new = span_of(answered), Capture("new")
    kept = {content.key: new.items(content) for content in span.contents}
    assert kept["gen_ai.system_instructions"] == kept["gen_ai.tool.definitions"] == []
    assert [json.loads(item)["parts"][0]["content"] for item in kept["gen_ai.input.messages"]] == ["three"]
    assert len(kept["gen_ai.output.messages"]) == 1


@pytest.mark.parametrize(
    ("tools", "values"),
    [(b' [ {"a": 1},\n{"b":2} ] ', [{"a": 1}, {"b": 2}]), (b"[]", None), (b"[ ]", None), (b'["\xff"]', ["\ufffd"])],
)
def test_tool_definitions_are_the_clients_own_bytes(answered: Exchange, tools: bytes, values: object) -> None:
    assert answered.request is not None
    answered.request.tools = tools
    span = span_of(answered)
    found = [item for c in span.contents if c.key == "gen_ai.tool.definitions" for item in c.items]
    assert (json.loads(b"[" + found[0] + b"]") if found else None) == values
