"""A tool's span has both its ends: the answer that asked for it and the request that brought its result."""

import json

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from gateway.model.exchange import Exchange
from gateway.model.message import Entry, Message, RequestReading, ServerToolCall, ToolCall, ToolCallResponse
from gateway.model.session import SessionRef
from gateway.model.span import KIND_INTERNAL, Span
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache, entry_of
from gateway.telemetry.capture import Capture
from gateway.telemetry.encode import content_attributes, encode
from gateway.telemetry.tool_spans import ToolSpans

SECOND = 1_000_000_000
OLLAMA_CALL = {"function": {"name": "look_up", "arguments": {"order": 7}}}
OLLAMA_RESULT = {"role": "tool", "tool_name": "look_up", "content": "sent on Monday"}
GEMINI_CALL = {"functionCall": {"name": "look_up", "args": {"order": 7}}}
GEMINI_RESULT = {"functionResponse": {"name": "look_up", "response": {"result": "sent on Monday"}}}
SHELL_CALL = {
    "type": "shell_call",
    "call_id": "call_1",
    "action": {"commands": ["ls"]},
    "environment": {"type": "local"},
    "status": "completed",
}
SHELL_OUTPUT = {"stdout": "README.md", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
SEARCH_CALL = {"type": "tool_search_call", "call_id": "call_2", "execution": "client", "arguments": {"goal": "ship"}}


def call(call_id: str | None, name: str = "look_up", order: int = 7) -> Entry:
    return entry_of(Message("assistant", (ToolCall(name, call_id, {"order": order}),), finish_reason="tool_call"))


def result(call_id: str | None, said: object = "sent on Monday") -> Entry:
    return entry_of(Message("tool", (ToolCallResponse(said, call_id),)))


def asking(exchange: Exchange, *entries: Entry) -> Exchange:
    assert exchange.response is not None
    exchange.response.messages = list(entries)
    return exchange


def bringing(asked: Exchange, *entries: Entry, principal: str = "", new_from: int = 0) -> Exchange:
    """The same caller's next exchange, a second after the answer."""
    following = Exchange(
        id="next",
        started_ns=asked.started_ns + asked.duration_ns + SECOND,
        method="POST",
        target=asked.target,
        request_headers=[],
        request_body=asked.request_body,
        trace_id=b"n" * 16,
        span_id=b"n" * 8,
        principal=principal,
        session=SessionRef("session-1", "explicit", 1.0, sequence=2, new_from=new_from),
    )
    following.request = RequestReading(messages=list(entries))
    return following


def attributes(span: Span) -> dict[str, object]:
    return dict(span.attributes)


@pytest.mark.parametrize(("flags", "state"), [(0, "vendor=1"), (1, "")])
def test_a_tool_has_the_trace_context_of_the_exchange_that_asked_for_it(
    answered: Exchange, flags: int, state: str
) -> None:
    """Not of the one that brought its result: that may be in another OTel trace."""
    answered.trace_flags, answered.trace_state = flags, state
    tools = ToolSpans()
    tools.of(asking(answered, call("c1")))
    following = bringing(answered, result("c1"))
    following.trace_flags, following.trace_state = 1 - flags, "other=2"
    [span] = tools.of(following)
    assert (span.flags, span.trace_state) == (flags, state)


def test_a_call_and_its_result_become_a_span_between_them(answered: Exchange) -> None:
    tools = ToolSpans()
    assert tools.of(asking(answered, call("c1"))) == []
    [span] = tools.of(bringing(answered, call("c1"), result("c1")))
    assert (span.name, span.kind) == ("execute_tool look_up", KIND_INTERNAL)
    assert (span.trace_id, span.parent_span_id) == (answered.trace_id, answered.span_id)
    assert span.start_ns == answered.started_ns + answered.duration_ns
    assert span.end_ns == span.start_ns + SECOND
    said = attributes(span)
    assert said["gen_ai.operation.name"] == "execute_tool"
    assert said["gen_ai.tool.name"] == "look_up"
    assert said["gen_ai.tool.call.id"] == "c1"
    assert said["session.id"] == "session-1"
    assert (said["spangate.exchange.parent_id"], said["spangate.exchange.id"]) == (answered.id, "next")


def test_a_call_that_the_provider_answers_itself_ends_no_other(answered: Exchange) -> None:
    tools = ToolSpans()
    tools.of(asking(answered, call("1")))
    own = entry_of(Message("assistant", (ServerToolCall("web_search", "1"), ToolCall("other", "2"))))
    assert tools.of(bringing(answered, own)) == []
    assert len(tools.of(bringing(answered, own, result("1")))) == 1


def test_content_is_opt_in_and_any_protobuf_reader_understands_it(answered: Exchange) -> None:
    tools = ToolSpans()
    tools.of(asking(answered, call("c1")))
    [span] = tools.of(bringing(answered, result("c1")))
    assert content_attributes(span, Capture()) == b""
    read = ProtoSpan.FromString(encode(span) + content_attributes(span, Capture("full", 64)))
    values = {pair.key: pair.value.string_value for pair in read.attributes}
    assert json.loads(values["gen_ai.tool.call.arguments"]) == {"order": 7}
    assert json.loads(values["gen_ai.tool.call.result"]) == "sent on Monday"


def test_a_long_result_is_cut_and_stays_json(answered: Exchange) -> None:
    tools = ToolSpans()
    tools.of(asking(answered, call("c1")))
    [span] = tools.of(bringing(answered, result("c1", {"rows": ["x" * 10_000]})))
    read = ProtoSpan.FromString(encode(span) + content_attributes(span, Capture("full", 500)))
    value = next(pair.value.string_value for pair in read.attributes if pair.key == "gen_ai.tool.call.result")
    assert len(value) <= 500
    assert "cut" in json.loads(value)["rows"][0]


def test_a_history_that_repeats_a_result_makes_no_second_span(answered: Exchange) -> None:
    tools = ToolSpans()
    tools.of(asking(answered, call("c1")))
    assert len(tools.of(bringing(answered, call("c1"), result("c1")))) == 1
    assert tools.of(bringing(answered, call("c1"), result("c1"))) == []


def test_only_what_the_parent_did_not_have_is_looked_at(answered: Exchange) -> None:
    tools = ToolSpans()
    tools.of(asking(answered, call("c1"), call("c2")))
    spans = tools.of(bringing(answered, result("c1"), result("c2"), new_from=1))
    assert [attributes(span)["gen_ai.tool.call.id"] for span in spans] == ["c2"]


def test_one_of_the_two_alone_is_no_span(answered: Exchange) -> None:
    tools = ToolSpans()
    assert tools.of(bringing(answered, result("c1"))) == []
    tools.of(asking(answered, call(None)))
    assert tools.of(bringing(answered, result(None), result("other"))) == []


def in_session(exchange: Exchange, session: str = "session-1") -> Exchange:
    exchange.session = SessionRef(session, "explicit", 1.0, sequence=1)
    return exchange


@pytest.mark.parametrize(
    ("given", "repeated"),
    [(None, None), ("c1", None), ("c1", "c1")],
    ids=["the API gives none", "the client leaves it out", "the client leaves it out of the result"],
)
def test_a_result_without_an_id_answers_the_call_before_it(
    answered: Exchange, given: str | None, repeated: str | None
) -> None:
    tools = ToolSpans()
    tools.of(asking(in_session(answered), call(given)))
    [span] = tools.of(bringing(answered, call(repeated), result("look_up")))
    assert span.parent_span_id == answered.span_id
    assert attributes(span)["gen_ai.tool.call.id"] == (given or "")
    assert tools.of(bringing(answered, call(repeated), result("look_up"))) == []


def test_a_result_without_an_id_passes_by_a_call_whose_result_has_one(answered: Exchange) -> None:
    tools = ToolSpans()
    tools.of(asking(in_session(answered), call("c1", order=1), call("c2", order=2)))
    history = [call("c1", order=1), call("c2", order=2), result("c1", "one"), result("look_up", "two")]
    spans = tools.of(bringing(answered, *history))
    assert [(attributes(span)["gen_ai.tool.call.id"], span.contents[1].items) for span in spans] == [
        ("c1", [b'"one"']),
        ("c2", [b'"two"']),
    ]


@pytest.mark.parametrize(
    "following",
    [
        [call(None, order=8), result("look_up")],
        [call(None, "cancel"), result("cancel")],
        [result("look_up")],
        [call("c2"), result("look_up")],
    ],
    ids=["other arguments", "another tool", "no call", "a call with an id"],
)
def test_a_result_without_an_id_answers_no_other_call(answered: Exchange, following: list[Entry]) -> None:
    tools = ToolSpans()
    tools.of(asking(in_session(answered), call(None)))
    assert tools.of(bringing(answered, *following)) == []


def test_a_result_without_an_id_answers_nothing_in_another_session(answered: Exchange) -> None:
    tools = ToolSpans()
    tools.of(asking(in_session(answered, "session-2"), call(None)))
    assert tools.of(bringing(answered, call(None), result("look_up"))) == []
    assert tools.of(bringing(in_session(answered, "session-2"), result("look_up"), principal="somebody-else")) == []


def test_the_newest_result_without_an_id_is_the_newest_calls(answered: Exchange) -> None:
    tools = ToolSpans()
    first = asking(in_session(answered), call(None))
    tools.of(first)
    assert len(tools.of(bringing(first, call(None), result("look_up", "none")))) == 1
    tools.of(asking(in_session(answered), call(None)))
    history = [call(None), result("look_up", "none"), call(None), result("look_up", "sent")]
    [span] = tools.of(bringing(answered, *history))
    assert span.contents[1].items == [b'"sent"']


def test_calls_at_the_same_time_without_ids_are_told_by_their_arguments(answered: Exchange) -> None:
    tools = ToolSpans()
    tools.of(asking(in_session(answered), call(None, order=1), call(None, order=2)))
    history = [call(None, order=1), call(None, order=2), result("look_up", "one"), result("look_up", "two")]
    spans = tools.of(bringing(answered, *history))
    assert sorted((span.contents[0].items[0], span.contents[1].items[0]) for span in spans) == [
        (b'{"order":1}', b'"one"'),
        (b'{"order":2}', b'"two"'),
    ]


def test_nobody_is_told_what_another_principals_call_was(answered: Exchange) -> None:
    tools = ToolSpans()
    tools.of(asking(answered, call("c1")))
    assert tools.of(bringing(answered, result("c1"), principal="somebody-else")) == []


def test_a_retry_that_is_answered_again_does_not_end_before_it_began(answered: Exchange) -> None:
    tools = ToolSpans()
    tools.of(asking(answered, call("c1")))
    early = bringing(answered, result("c1"))
    early.started_ns = answered.started_ns
    [span] = tools.of(early)
    assert span.end_ns == span.start_ns


def test_calls_that_nobody_answers_are_forgotten_and_counted(answered: Exchange) -> None:
    tools = ToolSpans(limit=2)
    tools.of(asking(answered, call("c1"), call("c2"), call("c3")))
    assert tools.counters["tool_calls_forgotten"] == 1
    spans = tools.of(bringing(answered, result("c1"), result("c2"), result("c3")))
    assert [attributes(span)["gen_ai.tool.call.id"] for span in spans] == ["c2", "c3"]


def test_calls_without_ids_are_forgotten_and_counted_too(answered: Exchange) -> None:
    tools = ToolSpans(limit=1)
    tools.of(asking(in_session(answered), call(None, order=1), call(None, order=2)))
    assert tools.counters["tool_calls_forgotten"] == 1
    history = [call(None, order=1), result("look_up"), call(None, order=2), result("look_up")]
    [span] = tools.of(bringing(answered, *history))
    assert span.contents[0].items == [b'{"order":2}']


def test_any_number_of_results_without_ids_costs_no_more_than_their_bytes(answered: Exchange) -> None:
    """Thousands of calls that wait, and as many results for them: each is compared with few."""
    tools = ToolSpans()
    orders = range(5_000)
    tools.of(asking(in_session(answered), *(call(None, order=order) for order in orders)))
    history = [entry for order in reversed(orders) for entry in (call(None, order=order), result("look_up"))]
    assert tools.of(bringing(answered, *history)) == []
    assert len(tools.of(bringing(answered, *history[:128]))) == 64


@pytest.mark.parametrize(
    ("api", "answer", "history"),
    [
        (
            "ollama_chat",
            {"message": {"role": "assistant", "content": "", "tool_calls": [OLLAMA_CALL]}, "done": True},
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [OLLAMA_CALL]}, OLLAMA_RESULT]},
        ),
        (
            "gemini_generate_content",
            {"candidates": [{"content": {"role": "model", "parts": [GEMINI_CALL]}, "finishReason": "STOP"}]},
            {"contents": [{"role": "model", "parts": [GEMINI_CALL]}, {"role": "user", "parts": [GEMINI_RESULT]}]},
        ),
        (
            "openai_responses",
            {"status": "completed", "output": [SHELL_CALL]},
            {"input": [SHELL_CALL, {"type": "shell_call_output", "call_id": "call_1", "output": [SHELL_OUTPUT]}]},
        ),
        (
            "openai_responses",
            {"status": "completed", "output": [SEARCH_CALL]},
            {"input": [SEARCH_CALL, {**SEARCH_CALL, "type": "tool_search_output", "tools": []}]},
        ),
    ],
    ids=["ollama", "gemini", "shell", "tool search"],
)
def test_what_apis_say_is_paired(
    answered: Exchange, api: str, answer: dict[str, object], history: dict[str, object]
) -> None:
    [provider] = [each for each in formats() if each.name == api]
    reader = provider.response_reader(None, 200, "application/json")
    reader.feed(json.dumps(answer).encode())
    answered.response = reader.end(complete=True)
    assert answered.response.finish_reasons == ["tool_call"]
    tools = ToolSpans()
    tools.of(answered)
    following = bringing(answered)
    following.request = provider.read_request(json.dumps(history).encode(), KnownMessageCache())
    [span] = tools.of(following)
    assert span.name in ("execute_tool look_up", "execute_tool shell", "execute_tool tool_search")


def test_what_a_provider_ran_itself_is_no_span(answered: Exchange) -> None:
    hosted = {**SHELL_CALL, "environment": {"type": "container_reference", "container_id": "cntr_1"}}
    output = {"type": "shell_call_output", "call_id": "call_1", "output": [SHELL_OUTPUT]}
    [provider] = [each for each in formats() if each.name == "openai_responses"]
    reader = provider.response_reader(None, 200, "application/json")
    reader.feed(json.dumps({"status": "completed", "output": [hosted, output]}).encode())
    answered.response = reader.end(complete=True)
    assert answered.response.finish_reasons == ["stop"]
    tools = ToolSpans()
    tools.of(answered)
    following = bringing(answered)
    following.request = provider.read_request(json.dumps({"input": [hosted, output]}).encode(), KnownMessageCache())
    assert tools.of(following) == []
