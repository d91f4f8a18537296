"""OTLP/HTTP against a real server on loopback: nothing is lost but what is counted."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from gateway.exporters.otlp_http import OtlpHttpConfig, OtlpHttpExporter, config_from_env, retry_after_s
from gateway.model.exchange import Exchange
from gateway.model.span import Span
from gateway.telemetry.encode import encode_resource

RESOURCE = encode_resource([("service.name", "test")])
NewSpan = Callable[[str, int], Span]
Running = Callable[..., Awaitable[OtlpHttpExporter]]


def config(url: str, **written: Any) -> OtlpHttpConfig:
    retry = {"initial_interval": "1ms", "max_interval": "1ms", "max_elapsed_time": "30s"}
    queue = {"num_consumers": 2, "batch": {"flush_timeout": "1ms", "max_spans": 10}}
    return OtlpHttpConfig.model_validate({"endpoint": url, "retry_on_failure": retry, "sending_queue": queue} | written)


@pytest.fixture
async def running(sink: Any) -> AsyncIterator[Running]:
    """Starts exporters that are drained when the test is over."""

    async with AsyncExitStack() as stack:

        @asynccontextmanager
        async def started(written: dict[str, Any]) -> AsyncIterator[OtlpHttpExporter]:
            exporter = OtlpHttpExporter("otlp_http", config(sink.url, **written), RESOURCE, {})
            await exporter.start()
            try:
                yield exporter
            finally:
                await exporter.drain(5)

        async def start(**written: Any) -> OtlpHttpExporter:
            return await stack.enter_async_context(started(written))

        yield start


async def settled(exporter: OtlpHttpExporter) -> dict[str, int]:
    """The counters once nothing is queued; every accepted span is sent, rejected or counted as lost."""
    async with asyncio.timeout(20):
        while exporter.counters()["queue_items"]:
            await asyncio.sleep(0)
    counters = exporter.counters()
    assert counters["accepted"] == counters["sent"] + counters["rejected"] + counters["dropped_failed"]
    assert counters["queue_bytes"] == 0
    return counters


def answered(code: int, content_type: str = "application/x-protobuf", body: bytes = b"", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda spans: web.Response(status=code, content_type=content_type, body=body, headers=named)


async def test_spans_arrive_with_their_resource_and_headers(
    sink: Any, running: Running, exchange: Exchange, new_span: NewSpan
) -> None:
    exporter = await running(headers={"x-api-key": "k"})
    for n in range(25):
        exporter.export(exchange, new_span(f"s{n}", 0))
    assert (await settled(exporter))["sent"] == 25
    assert sorted(sink.names) == sorted(f"s{n}" for n in range(25))
    request = sink.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/traces")
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["x-api-key"] == "k"


async def test_without_compression_the_body_is_plain(
    sink: Any, running: Running, exchange: Exchange, new_span: NewSpan
) -> None:
    exporter = await running(compression="none", traces_endpoint=f"{sink.url}/own/path")
    exporter.export(exchange, new_span("a", 0))
    await settled(exporter)
    assert sink.names == ["a"]
    assert "content-encoding" not in sink.requests[0].headers
    assert sink.requests[0].path == "/own/path"


@pytest.mark.parametrize("code", [429, 502, 503, 504])
async def test_what_passes_is_retried(
    code: int, sink: Any, running: Running, exchange: Exchange, new_span: NewSpan
) -> None:
    exporter = await running()
    sink.answers([answered(code), answered(code, Retry_After="0")])
    exporter.export(exchange, new_span("a", 0))
    assert (await settled(exporter))["retried"] == 2
    assert sink.names == ["a"]


@pytest.mark.parametrize(
    "answer",
    [
        answered(400),
        answered(401),
        answered(404),
        answered(408),
        answered(500),
        answered(501),
        answered(302, Location="/login"),
        answered(200, "text/html", b"<html>Welcome</html>"),
    ],
)
async def test_what_will_not_pass_is_dropped_and_counted(
    answer: Any, sink: Any, running: Running, exchange: Exchange, new_span: NewSpan
) -> None:
    exporter = await running()
    sink.answers([answer])
    exporter.export(exchange, new_span("a", 0))
    counters = await settled(exporter)
    assert (counters["dropped_failed"], counters["retried"], len(sink.requests)) == (1, 0, 1)


async def test_retry_after_is_waited_for_or_given_up(
    sink: Any, running: Running, exchange: Exchange, new_span: NewSpan
) -> None:
    exporter = await running()
    sink.answers([answered(429, Retry_After="31")])  # beyond max_elapsed_time
    exporter.export(exchange, new_span("a", 0))
    counters = await settled(exporter)
    assert (counters["dropped_failed"], len(sink.requests)) == (1, 1)


@pytest.mark.parametrize("content_type", ["application/x-protobuf", "application/json"])
async def test_a_partial_success_is_counted_and_not_repeated(
    content_type: str, sink: Any, running: Running, exchange: Exchange, new_span: NewSpan
) -> None:
    exporter = await running()
    as_json = json.dumps({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "no"}}).encode()
    body = as_json if content_type == "application/json" else b"\x0a\x02\x08\x03"
    sink.default = answered(200, content_type, body)
    for n in range(10):
        exporter.export(exchange, new_span(f"s{n}", 0))
    counters = await settled(exporter)
    assert (counters["sent"], counters["rejected"], len(sink.requests)) == (7, 3, 1)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("application/x-protobuf", b"\xff\xff"), ("application/json", b"{"), ("text/plain", b"ok"), ("text/plain", b"")],
)
async def test_an_odd_acceptance_is_still_one(
    content_type: str, body: bytes, sink: Any, running: Running, exchange: Exchange, new_span: NewSpan
) -> None:
    exporter = await running()
    sink.default = answered(200, content_type, body)
    exporter.export(exchange, new_span("a", 0))
    assert (await settled(exporter))["sent"] == 1


async def test_a_batch_too_large_arrives_in_halves_and_the_largest_span_without_content(
    sink: Any, running: Running, exchange: Exchange, new_span: NewSpan
) -> None:
    def at_most_three_kilobytes(spans: list[Any]) -> web.Response:
        return web.Response(status=413 if sum(span.ByteSize() for span in spans) > 3000 else 200)

    sink.default = at_most_three_kilobytes
    exporter = await running(capture={"messages": "full"})
    for n in range(10):
        exporter.export(exchange, new_span(f"s{n}", 5000 if n == 4 else 500))
    counters = await settled(exporter)
    assert (counters["sent"], counters["without_content"], counters["dropped_failed"]) == (10, 1, 0)
    by_name = {span.name: [pair.key for pair in span.attributes] for span in sink.spans}
    assert sorted(by_name) == sorted(f"s{n}" for n in range(10))
    assert by_name["s4"] == ["session.id"]
    assert by_name["s5"] == ["session.id", "gen_ai.input.messages"]


async def test_a_slow_server_is_asked_again(sink: Any, running: Running, exchange: Exchange, new_span: NewSpan) -> None:
    exporter = await running(timeout="100ms")
    sink.stalls.append(asyncio.Event())  # the first request is never answered
    exporter.export(exchange, new_span("a", 0))
    assert (await settled(exporter))["retried"] >= 1
    assert sink.names == ["a"]


async def test_a_server_that_is_down_and_comes_back_misses_nothing(
    sink: Any, running: Running, exchange: Exchange, new_span: NewSpan
) -> None:
    await sink.stop()
    exporter = await running()
    for n in range(30):
        exporter.export(exchange, new_span(f"s{n}", 0))
    async with asyncio.timeout(20):
        while not exporter.counters()["retried"]:
            await asyncio.sleep(0)
    await sink.start()
    assert (await settled(exporter))["sent"] == 30
    assert sorted(sink.names) == sorted(f"s{n}" for n in range(30))


async def test_a_shutdown_flushes_what_is_queued(sink: Any, exchange: Exchange, new_span: NewSpan) -> None:
    queue = {"batch": {"flush_timeout": "1h"}}
    exporter = OtlpHttpExporter("otlp_http", config(sink.url, sending_queue=queue), RESOURCE, {})
    await exporter.start()
    for n in range(5):
        exporter.export(exchange, new_span(f"s{n}", 0))
    await exporter.drain(5)
    assert len(sink.names) == 5
    assert exporter.counters()["sent"] == 5


async def test_content_stays_unless_it_is_asked_for(sink: Any, exchange: Exchange, new_span: NewSpan) -> None:
    variable = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    for environ, written in (({}, {}), ({variable: "SPAN_ONLY"}, {}), ({variable: "true"}, {"messages": "none"})):
        exporter = OtlpHttpExporter("otlp_http", config(sink.url, capture=written), RESOURCE, environ)
        await exporter.start()
        exporter.export(exchange, new_span("a", 10))
        await exporter.drain(5)
    assert [len(span.attributes) for span in sink.spans] == [1, 2, 1]


async def test_a_span_that_cannot_be_encoded_is_counted(
    running: Running, exchange: Exchange, new_span: NewSpan
) -> None:
    exporter = await running()
    broken = new_span("a", 0)
    broken.attributes.append(("x", object()))  # type: ignore[arg-type]
    exporter.export(exchange, broken)
    assert exporter.counters()["unencodable"] == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("²", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_in_both_its_spellings(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, lambda: datetime(2026, 11, 23, 12, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/t"}, "http://c/t"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://d/t"}, "http://d/t"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_endpoint_of_an_environment(environ: dict[str, str], url: str | None) -> None:
    found = config_from_env(environ)
    assert (found.traces_url if found is not None else None) == url


def test_the_rest_of_an_environment() -> None:
    found = config_from_env(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://c",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=general",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "Authorization=Basic%20abc,x-a=b",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "ca.pem",
        }
    )
    assert found is not None
    headers = {name: value.get_secret_value() for name, value in found.headers.items()}
    assert headers == {"Authorization": "Basic abc", "x-a": "b"}
    assert (found.timeout, found.compression, found.tls.ca_file) == (2.5, "none", "ca.pem")
    assert "abc" not in repr(found)


_GRPC_PORT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}


@pytest.mark.parametrize(
    "environ",
    [
        _GRPC_PORT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        _GRPC_PORT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        _GRPC_PORT | {"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"},
        _GRPC_PORT | {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"},
    ],
)
def test_an_environment_that_cannot_be_meant_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        config_from_env(environ)


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"endpoint": "ftp://x"},
        {"endpoint": "http://"},
        {"endpoint": "http://x", "nonsense": 1},
        {"endpoint": "http://x", "tls": {"cert_file": "a"}},
        {"endpoint": "http://x", "capture": {"limit": 0}},
    ],
)
def test_a_config_that_cannot_work_is_refused(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OtlpHttpConfig.model_validate(written)
