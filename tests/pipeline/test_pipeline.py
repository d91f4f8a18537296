"""Processors in their order, failures kept from the client, and nothing lost between an exchange and its span."""

import asyncio
import gzip
import json
import random
import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

import brotli
import pytest
import zstandard

from gateway.contracts import Exporter, KnownMessages, Processor, Provider
from gateway.model.exchange import Captured, End, Exchange
from gateway.model.message import RequestReading
from gateway.model.span import Span
from gateway.pipeline import Pipeline
from gateway.providers.bedrock_converse import BedrockConverse
from gateway.providers.eventstream import encoded
from gateway.providers.generic import Generic
from gateway.providers.known import KnownMessageCache
from gateway.providers.openai_chat import OpenAIChat
from gateway.providers.openai_completions import OpenAICompletions
from gateway.providers.openai_embeddings import OpenAIEmbeddings
from gateway.providers.openai_responses import OpenAIResponsesPoll
from tests.pipeline.fakes import REFUSAL, Collector, Recorder, RequestOnly, SpanDoor, Waiting

REQUEST = json.dumps({"model": "m", "messages": [{"role": "user", "content": "What is a span?"}]}).encode()
ANSWER = json.dumps(
    {
        "id": "c1",
        "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Work."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }
).encode()


class CountingChat(OpenAIChat):
    def __init__(self) -> None:
        self.read = 0

    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        self.read += 1
        return super().read_request(body, known, target, content_type)


class BrokenChat(OpenAIChat):
    def read_request(
        self, body: bytes, known: KnownMessages, target: str = "", content_type: str = ""
    ) -> RequestReading:
        raise RuntimeError("a bug")


def a_pipeline(
    processors: Sequence[Processor] = (),
    exporters: Sequence[Exporter] = (),
    chat: OpenAIChat | None = None,
    tail_limit_bytes: int = 1 << 20,
) -> Pipeline:
    formats: dict[str, Provider] = {"openai_chat": chat or OpenAIChat(), "generic": Generic()}
    return Pipeline(processors, exporters, formats, KnownMessageCache(), tail_limit_bytes)


def an_exchange(
    request: bytes = REQUEST, answer: bytes | None = ANSWER, coding: str = "", limit: int = 1 << 16
) -> Exchange:
    headers = {b"content-encoding": coding.encode()} if coding else {}
    exchange = Exchange(
        "x1", 1, "POST", "/v1/chat/completions", [], Captured(limit), b"t" * 16, b"s" * 8, header_map=dict(headers)
    )
    exchange.api, exchange.provider, exchange.operation = "openai_chat", "openai", "chat"
    exchange.request_body.add(request)
    exchange.status, exchange.end = 200, "finished"
    if answer is not None:
        exchange.response_header_map = {b"content-type": b"application/json", **headers}
        exchange.response_headers = list(exchange.response_header_map.items())
        exchange.response_body = Captured(limit)
        exchange.response_body.add(answer)
    return exchange


async def finished(pipeline: Pipeline, exchange: Exchange) -> None:
    pipeline.end(exchange)
    async with asyncio.timeout(5):
        while pipeline.tail_length:
            await asyncio.sleep(0)


# While it happens


def test_processors_see_a_request_in_their_order() -> None:
    log: list[str] = []
    pipeline = a_pipeline([Recorder("a", log), Recorder("b", log), Recorder("c", log)])
    assert pipeline.ready(an_exchange()) is None
    assert log == ["a.on_request", "b.on_request", "c.on_request"]


async def test_the_next_processor_waits_for_the_one_before() -> None:
    log: list[str] = []
    first, third = Waiting("a", log), Waiting("c", log)
    waiting = a_pipeline([first, Recorder("b", log), third]).ready(an_exchange())
    assert waiting is not None
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    assert log == ["a.on_request"]
    first.go.set()
    third.go.set()
    await task
    assert log == ["a.on_request", "a.let go", "b.on_request", "c.on_request", "c.let go"]


def test_a_refusal_stops_the_rest() -> None:
    log: list[str] = []
    exchange = an_exchange()
    assert a_pipeline([Recorder("a", log, refuses=True), Recorder("b", log)]).ready(exchange) is None
    assert (exchange.refusal, log) == (REFUSAL, ["a.on_request"])


async def test_a_refusal_that_took_time_stops_the_rest() -> None:
    log: list[str] = []
    first = Waiting("a", log, refuses=True)
    first.go.set()
    waiting = a_pipeline([first, Recorder("b", log)]).ready(an_exchange())
    assert waiting is not None
    await waiting
    assert log == ["a.on_request", "a.let go"]


def test_a_processor_that_raises_is_counted_and_traffic_goes_on() -> None:
    log: list[str] = []
    exchange = an_exchange()
    pipeline = a_pipeline([Recorder("a", log, raises="on_request"), Recorder("b", log)])
    assert pipeline.ready(exchange) is None
    assert (exchange.refusal, log) == (None, ["a.on_request", "b.on_request"])
    assert pipeline.failures == {"Recorder.on_request": 1}


async def test_a_processor_that_raises_after_waiting_is_counted_and_traffic_goes_on() -> None:
    log: list[str] = []
    first = Waiting("a", log, raises="on_request")
    first.go.set()
    pipeline = a_pipeline([first, Recorder("b", log)])
    waiting = pipeline.ready(an_exchange())
    assert waiting is not None
    await waiting
    assert log[-1] == "b.on_request"
    assert pipeline.failures == {"Waiting.on_request": 1}


async def test_a_client_that_leaves_ends_the_waiting() -> None:
    log: list[str] = []
    waiting = a_pipeline([Waiting("a", log), Recorder("b", log)]).ready(an_exchange())
    assert waiting is not None
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["a.on_request"]


async def test_a_request_is_read_once_however_many_need_it() -> None:
    chat = CountingChat()
    pipeline = a_pipeline([RequestOnly(), RequestOnly()], [Collector()], chat)
    exchange = an_exchange()
    pipeline.ready(exchange)
    await finished(pipeline, exchange)
    assert chat.read == 1
    assert pipeline.failures == {}


def test_nobody_pays_for_a_reading_that_no_processor_needs() -> None:
    chat = CountingChat()
    a_pipeline([Recorder("a", [])], chat=chat).ready(an_exchange())
    assert chat.read == 0


# Afterwards


async def test_every_moment_comes_once_and_in_order() -> None:
    log: list[str] = []
    pipeline = a_pipeline([Recorder("a", log), Recorder("b", log)], [Collector()])
    exchange = an_exchange()
    pipeline.ready(exchange)
    log.clear()
    await finished(pipeline, exchange)
    assert log == ["a.on_end", "b.on_end", "a.on_tail", "b.on_tail", "a.on_span", "b.on_span"]


@pytest.mark.parametrize("moment", ["on_end", "on_tail"])
async def test_a_failing_processor_costs_no_span(moment: str) -> None:
    log: list[str] = []
    collector = Collector()
    pipeline = a_pipeline([Recorder("a", log, raises=moment), Recorder("b", log)], [collector])
    await finished(pipeline, an_exchange())
    assert f"b.{moment}" in log
    assert len(collector.spans) == 1
    assert pipeline.failures == {f"Recorder.{moment}": 1}


def _raise(span: Span) -> Span | None:
    raise RuntimeError("a broken redactor")


@pytest.mark.parametrize(("decide", "failures"), [(lambda span: None, {}), (_raise, {"span": 1})])
async def test_a_span_that_may_not_leave_stays_in(
    decide: Callable[[Span], Span | None], failures: dict[str, int]
) -> None:
    log: list[str] = []
    collector = Collector()
    pipeline = a_pipeline([SpanDoor(decide), Recorder("after", log)], [collector])
    await finished(pipeline, an_exchange())
    assert collector.spans == []
    assert "after.on_span" not in log
    assert pipeline.failures == failures
    assert pipeline.counters["finished"] == 1


async def test_what_leaves_is_what_the_processor_returned() -> None:
    other = Span("other", 3, b"t" * 16, b"s" * 8, 1, 2)
    collector = Collector()
    await finished(a_pipeline([SpanDoor(lambda span: other)], [collector]), an_exchange())
    assert collector.spans == [other]


async def test_an_exporter_that_raises_does_not_stop_the_others() -> None:
    first, last = Collector("first"), Collector("last")
    pipeline = a_pipeline(exporters=[first, Collector("bad", broken=True), last])
    await finished(pipeline, an_exchange())
    assert (len(first.spans), len(last.spans)) == (1, 1)
    assert pipeline.failures == {"bad.export": 1}


async def test_a_reader_that_fails_costs_no_span() -> None:
    collector = Collector()
    pipeline = a_pipeline(exporters=[collector], chat=BrokenChat())
    await finished(pipeline, an_exchange())
    assert len(collector.spans) == 1
    assert pipeline.failures == {"reading": 1}


async def test_the_tail_is_bounded_and_counts_what_it_drops() -> None:
    collector = Collector()
    pipeline = a_pipeline(exporters=[collector], tail_limit_bytes=5000)
    for _ in range(5):
        pipeline.end(an_exchange())
    pipeline.drain()
    assert pipeline.counters["exchanges"] == 5
    assert pipeline.counters["tail_dropped"] == 5 - len(collector.spans)
    assert 0 < len(collector.spans) < 5


async def test_room_in_the_tail_comes_back() -> None:
    collector = Collector()
    pipeline = a_pipeline(exporters=[collector], tail_limit_bytes=5000)
    for _ in range(20):
        await finished(pipeline, an_exchange())
    assert len(collector.spans) == 20
    assert pipeline.counters["tail_dropped"] == 0


@pytest.mark.parametrize(
    ("content_type", "state"),
    [
        ("application/json; charset=utf-7", "unreadable"),
        ("application/json; charset=utf-8; charset='shift_jis'", "unreadable"),
        ("application/json; charset*=utf-8''ebcdic-cp-us", "unreadable"),
        ('application/json; CHARSET="UTF-8"', "full"),
        ("application/json; charset=us-ascii", "full"),
        ("application/json;charset=UTF-16LE", "full"),
        ("application/json; charset=ISO-8859-1", "full"),
        ("application/json; charset=iso-8859-1; charset=utf-7", "unreadable"),
        ("multipart/form-data; boundary=b; charset=ISO-8859-1", "full"),
        ("", "full"),
    ],
)
async def test_a_charset_that_no_reader_of_json_knows_is_unreadable(content_type: str, state: str) -> None:
    exchange = an_exchange()
    exchange.header_map[b"content-type"] = content_type.encode()
    reading = a_pipeline().reading(exchange)
    assert reading is not None
    assert reading.state == state


async def test_a_charset_of_ascii_and_more_is_known_where_the_text_is_ascii() -> None:
    exchange = an_exchange(REQUEST.replace(b"span?", "sp\xe4n?".encode("latin-1")))
    exchange.header_map[b"content-type"] = b"application/json; charset=iso-8859-1"
    reading = a_pipeline().reading(exchange)
    assert reading is not None
    assert reading.state == "unreadable"


async def test_drain_finishes_everything_in_order() -> None:
    collector = Collector()
    pipeline = a_pipeline(exporters=[collector])
    exchanges = [an_exchange() for _ in range(50)]
    for exchange in exchanges:
        pipeline.end(exchange)
    pipeline.drain()
    assert collector.exchanges == exchanges
    assert pipeline.tail_length == 0
    await finished(pipeline, an_exchange())
    assert len(collector.spans) == 51


async def test_a_long_tail_lets_the_loop_go_between_its_slices() -> None:
    collector = Collector()
    pipeline = a_pipeline(exporters=[collector], tail_limit_bytes=1 << 30)
    for _ in range(400):
        pipeline.end(an_exchange())
    async with asyncio.timeout(5):
        while not collector.spans:
            await asyncio.sleep(0)
    assert len(collector.spans) < 400
    pipeline.drain()


# Bodies

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_coded_body_is_decoded_on_the_copy_only(coding: str) -> None:
    code = CODINGS[coding]
    exchange = an_exchange(code(REQUEST), code(ANSWER), coding)
    await finished(a_pipeline(exporters=[Collector()]), exchange)
    assert exchange.request is not None
    assert exchange.response is not None
    assert (exchange.request.model, exchange.request.state) == ("m", "full")
    assert (exchange.response.model, exchange.response.state) == ("m-1", "full")
    assert exchange.response.usage.input_tokens == 5
    assert exchange.request_body.joined() == code(REQUEST)
    assert exchange.response_body is not None
    assert exchange.response_body.joined() == code(ANSWER)


@pytest.mark.parametrize("coding", [*CODINGS, "compress", "gzip, unknown"])
async def test_a_body_that_cannot_be_decoded_is_marked_unreadable_not_empty(coding: str) -> None:
    collector = Collector()
    exchange = an_exchange(b"\xff\xfe not coded", b"\xff\xfe neither", coding)
    pipeline = a_pipeline(exporters=[collector])
    await finished(pipeline, exchange)
    assert exchange.request is not None
    assert exchange.response is not None
    assert (exchange.request.state, exchange.response.state) == ("unreadable", "unreadable")
    assert ("spangate.capture", "unreadable") in collector.spans[0].attributes
    assert pipeline.failures == {}


@pytest.mark.parametrize("body", [b"not json", b"[1]", b'{"messages": 3}', b"\xff", b'{"messages": ['])
async def test_what_is_not_the_apis_json_is_marked_and_its_text_is_there_to_be_assessed(body: bytes) -> None:
    exchange = an_exchange(body)
    await finished(a_pipeline(exporters=[Collector()]), exchange)
    assert exchange.request is not None
    assert exchange.request.state == "unreadable"
    assert any(entry.texts for entry in exchange.request.messages)


async def test_a_body_over_the_capture_limit_is_marked_truncated() -> None:
    exchange = an_exchange(limit=40)
    await finished(a_pipeline(exporters=[Collector()]), exchange)
    assert exchange.request is not None
    assert exchange.response is not None
    assert (exchange.request.state, exchange.response.state) == ("truncated", "truncated")


_STREAM = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"Work."},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize(
    ("answer", "status", "error_type", "end"),
    [
        (_STREAM + b"data: [DONE]\n\n", 200, "client_gone", "finished"),
        (_STREAM, 200, "client_gone", "client_gone"),
        (b"", 200, "client_gone", "client_gone"),
        (_STREAM + b"data: [DONE]\n\n", 200, "client_too_slow", "client_gone"),
        (_STREAM + b"data: [DONE]\n\n", 500, "client_gone", "client_gone"),
    ],
)
async def test_a_client_that_leaves_after_the_last_event_has_all_there_was(
    answer: bytes, status: int, error_type: str, end: End
) -> None:
    collector = Collector()
    exchange = an_exchange(answer=answer)
    exchange.response_header_map = {b"content-type": b"text/event-stream"}
    exchange.status, exchange.end, exchange.error_type = status, "client_gone", error_type
    await finished(a_pipeline(exporters=[collector]), exchange)
    [told] = collector.exchanges
    assert (told.end, told.error_type) == (end, None if end == "finished" else error_type)
    assert len(collector.spans) == 1


async def test_an_exchange_without_bodies_becomes_a_span_too() -> None:
    collector = Collector()
    pipeline = a_pipeline(exporters=[collector])
    exchange = an_exchange(b"", None)
    exchange.api = ""
    await finished(pipeline, exchange)
    assert len(collector.spans) == 1
    assert (exchange.request, exchange.response, pipeline.failures) == (None, None, {})


# Tools

_CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}
_ASKS_FOR_A_TOOL = json.dumps(
    {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "tool_calls": [_CALL]},
                "finish_reason": "tool_calls",
            }
        ]
    }
).encode()
_BRINGS_ITS_RESULT = json.dumps(
    {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Where is it?"},
            {"role": "assistant", "content": None, "tool_calls": [_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "in Hamburg"},
        ],
    }
).encode()


async def test_a_tool_that_was_asked_for_and_answered_leaves_a_span_of_its_own() -> None:
    broken, collector = Collector("broken", broken=True), Collector()
    pipeline = a_pipeline(exporters=[broken, collector])
    await finished(pipeline, an_exchange(answer=_ASKS_FOR_A_TOOL))
    await finished(pipeline, an_exchange(_BRINGS_ITS_RESULT))
    assert [span.name for span in collector.tools] == ["execute_tool look_up"]
    assert len(collector.spans) == 2
    assert pipeline.failures["broken.export"] == 3


async def test_a_tools_span_goes_through_the_same_door_as_the_others() -> None:
    collector = Collector()
    door = SpanDoor(lambda span: None if span.name.startswith("execute_tool") else span)
    pipeline = a_pipeline([door], [collector])
    await finished(pipeline, an_exchange(answer=_ASKS_FOR_A_TOOL))
    await finished(pipeline, an_exchange(_BRINGS_ITS_RESULT))
    assert (collector.tools, len(collector.spans)) == ([], 2)


STREAM = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


def a_long_answer(size: int = 600_000, coding: str = "") -> Exchange:
    body = STREAM * (size // len(STREAM)) + b"data: [DONE]\n\n"
    if coding:
        body = b": %b\n\n" % b64encode(random.Random(0).randbytes(100_000)) + body
    exchange = an_exchange(answer=gzip.compress(body) if coding else body, limit=1 << 20)
    exchange.response_header_map = {b"content-type": b"text/event-stream"}
    if coding:
        exchange.response_header_map[b"content-encoding"] = coding.encode()
    return exchange


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_a_long_answer_is_understood_a_little_at_a_time_and_in_its_order(coding: str) -> None:
    kept = Collector()
    pipeline = a_pipeline(exporters=[kept], tail_limit_bytes=1 << 24)
    before, long, behind = an_exchange(), a_long_answer(coding=coding), an_exchange()
    turns = 0
    for exchange in (before, long, behind):
        pipeline.end(exchange)
    async with asyncio.timeout(5):
        while pipeline.tail_length:
            await asyncio.sleep(0)
            turns += pipeline._long is not None
    assert turns > 50
    assert kept.exchanges == [before, long, behind]
    assert long.response is not None
    assert (long.response.state, len(long.response.messages[0].texts[0])) == ("full", 600_000 // len(STREAM))
    assert behind.response is not None


@pytest.mark.parametrize("begun", [True, False])
async def test_a_long_answer_is_finished_when_the_gateway_stops(begun: bool) -> None:
    kept = Collector()
    pipeline = a_pipeline(exporters=[kept], tail_limit_bytes=1 << 24)
    for exchange in (a_long_answer(), an_exchange(), a_long_answer()):
        pipeline.end(exchange)
    async with asyncio.timeout(5):
        while begun and pipeline._long is None:
            await asyncio.sleep(0)
    pipeline.drain()
    assert (len(kept.exchanges), pipeline.tail_length) == (3, 0)
    assert all(exchange.response is not None and exchange.response.state == "full" for exchange in kept.exchanges)
    pipeline._work_tail()  # what was to go on with it finds nothing: on the loop its failure would be nobody's
    assert (len(kept.exchanges), pipeline.tail_length) == (3, 0)


async def test_what_says_too_much_is_counted_and_its_text_is_kept() -> None:
    pipeline = a_pipeline(tail_limit_bytes=1 << 24)
    request = b'{"model":"m","messages":[{"role":"user","content":[' + b"{}," * 200_000 + b"{}]}]}"
    exchange = an_exchange(request=request, answer=b'{"choices":[' + b"{}," * 200_000 + b"{}]}", limit=1 << 20)
    pipeline.end(exchange)
    pipeline.drain()
    assert exchange.request is not None
    assert exchange.response is not None
    assert (exchange.request.state, exchange.request.model) == ("unreadable", "m")
    assert exchange.response.state == "unreadable"
    assert (pipeline.counters["requests_too_many_values"], pipeline.counters["answers_cut"]) == (1, 1)


@pytest.mark.parametrize(
    ("provider", "field"), [(OpenAIEmbeddings(), b"input"), (OpenAICompletions(), b"prompt")], ids=["input", "prompt"]
)
@pytest.mark.parametrize(("unit", "state"), [(b",1", "full"), (b",{}", "unreadable")])
async def test_tokens_by_number_may_be_many_and_other_values_may_not(
    provider: Provider, field: bytes, unit: bytes, state: str
) -> None:
    pipeline = Pipeline((), (), {provider.name: provider, "generic": Generic()}, KnownMessageCache(), 1 << 24)
    exchange = an_exchange(request=b'{"model":"m","%b":[1' % field + unit * 200_000 + b"]}", limit=1 << 20)
    exchange.api = provider.name
    pipeline.end(exchange)
    pipeline.drain()
    assert exchange.request is not None
    assert exchange.request.state == state
    assert pipeline.counters["requests_too_many_values"] == (state == "unreadable")


async def test_a_call_of_an_api_that_nobody_understands_says_so_on_its_span() -> None:
    collector, generic = Collector(), Generic()
    exchange = an_exchange(b'{"model":"m","assistant_id":"asst_1"}', b'{"id":"run_1","status":"queued"}')
    exchange.api, exchange.operation = generic.name, generic.operation
    await finished(a_pipeline(exporters=[collector]), exchange)
    [span] = collector.spans
    assert dict(span.attributes)["spangate.capture"] == "unreadable"
    assert "gen_ai.operation.name" not in dict(span.attributes)
    # What agents were shown is all there was: nothing of it is missing for them.
    assert exchange.request is not None
    assert exchange.request.state == "full"


async def test_a_call_that_was_understood_says_so_too_even_where_it_has_no_operation() -> None:
    collector = Collector()
    exchange = an_exchange()
    exchange.operation = ""
    await finished(a_pipeline(exporters=[collector]), exchange)
    assert dict(collector.spans[0].attributes)["spangate.capture"] == "full"


async def test_what_is_asked_without_a_body_is_read_from_the_target() -> None:
    collector, poll = Collector(), OpenAIResponsesPoll()
    exchange = an_exchange(b"", b'data: {"type":"response.output_text.delta","delta":"Work"}\n\n')
    exchange.method, exchange.target = "GET", "/v1/responses/resp_1?stream=true&starting_after=5"
    exchange.api, exchange.operation = poll.name, poll.operation
    exchange.opened_ns, exchange.first_byte_ns = 1_000_000_000, 1_250_000_000
    formats: dict[str, Provider] = {poll.name: poll, "generic": Generic()}
    await finished(Pipeline([], [collector], formats, KnownMessageCache()), exchange)
    said = dict(collector.spans[0].attributes)
    assert said["gen_ai.request.stream"] is True
    assert said["gen_ai.request.stream_cursor"] == "5"
    assert said["gen_ai.response.time_to_first_chunk"] == 0.25


def test_a_call_without_a_body_that_asks_nothing_in_its_target_has_no_reading() -> None:
    exchange = an_exchange(b"")
    assert a_pipeline().reading(exchange) is None


_CORRUPT = Path(__file__).parents[1] / "data" / "bedrock_converse" / "corrupt" / "response.eventstream"


@pytest.mark.parametrize(
    ("stream", "ended", "corrupt"),
    [
        (_CORRUPT.read_bytes(), "finished", 1),
        (encoded({":event-type": "messageStop"}, b'{"stopReason":"end_turn"}'), "finished", 0),
        (encoded({":event-type": "messageStop"}, b'{"stopReason":"end_turn"}')[:-5], "finished", 1),
        (encoded({":event-type": "messageStop"}, b'{"stopReason":"end_turn"}')[:-5], "upstream_gone", 0),
    ],
    ids=["recorded", "sound", "half a frame", "broken off"],
)
async def test_corrupt_frames_are_counted(stream: bytes, ended: End, corrupt: int) -> None:
    collector, converse = Collector(), BedrockConverse()
    exchange = an_exchange(b'{"messages":[]}', stream)
    exchange.api, exchange.operation, exchange.end = converse.name, converse.operation, ended
    exchange.response_header_map = {b"content-type": b"application/vnd.amazon.eventstream"}
    formats: dict[str, Provider] = {converse.name: converse}
    pipeline = Pipeline([], [collector], formats, KnownMessageCache())
    await finished(pipeline, exchange)
    assert len(collector.spans) == 1
    assert pipeline.counters["corrupt_frames"] == corrupt
