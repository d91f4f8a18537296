"""Stores that are down, slow or refuse: every call is answered, and the counters say what became of its span."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1 import trace_pb2

from gateway.demo.model import BuiltinModel
from tests.app.conftest import DEADLINE_S, Caller, WatchedGateway
from tests.e2e.gateway_process import free_ports
from tests.exporters.conftest import Answer, Sink, accept

CALLS = 40
RETRY = {"initial_interval": "20ms", "max_interval": "50ms", "max_elapsed_time": "200ms"}


def status(code: int) -> Answer:
    return lambda spans: web.Response(status=code, headers={"Retry-After": "0"})


def rejects_one(spans: list[trace_pb2.Span]) -> web.Response:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 1
    return web.Response(body=answer.SerializeToString(), content_type="application/x-protobuf")


ANSWERS: dict[str, Answer] = {
    "good": accept,
    "slow": accept,
    "bad_request": status(400),
    "too_large": status(413),
    "throttled": status(429),
    "unavailable": status(503),
    "partial": rejects_one,
}


@dataclass
class Stores:
    sinks: dict[str, Sink]
    let_go: asyncio.Event

    @property
    def endpoints(self) -> dict[str, str]:
        (nobody,) = free_ports(1)
        return {name: sink.url for name, sink in self.sinks.items()} | {"down": f"http://127.0.0.1:{nobody}"}

    async def asked(self, name: str, times: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.sinks[name].requests) < times:
                await asyncio.sleep(0.01)


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    stores = Stores({name: Sink(default=answer) for name, answer in ANSWERS.items()}, asyncio.Event())
    stores.sinks["slow"].stalls.extend([stores.let_go] * 1000)
    for sink in stores.sinks.values():
        await sink.start()
    yield stores
    stores.let_go.set()
    for sink in stores.sinks.values():
        await sink.stop()


@pytest.fixture
async def gateway(model: BuiltinModel, tmp_path: Path, stores: Stores) -> AsyncIterator[WatchedGateway]:
    exporters = {
        f"otlp_http/{name}": {"endpoint": url, "retry_on_failure": RETRY} for name, url in stores.endpoints.items()
    }
    config = {
        "exporters": exporters,
        "service": {
            "pipelines": {"traces": {"exporters": ["store", *exporters]}},
            "telemetry": {"logs": {"format": "json"}},
        },
    }
    async with WatchedGateway(tmp_path, model.url, config) as gateway:
        yield gateway


async def test_no_store_however_bad_costs_an_answer_and_the_counters_tell(
    gateway: WatchedGateway, stores: Stores, model: BuiltinModel
) -> None:
    async with aiohttp.ClientSession() as session:
        caller = Caller(gateway, session)
        await caller.calls(CALLS)
    assert caller.statuses == [200] * CALLS
    assert stores.sinks["slow"].spans == []
    for name in ("unavailable", "throttled", "partial"):
        await stores.asked(name, 2 if name != "partial" else 1)
    stores.let_go.set()
    await gateway.stop()
    totals = gateway.totals()
    assert (totals["exchanges"], totals["finished"]) == (CALLS, CALLS)
    assert totals["store"]["sent"] == CALLS
    sent = {name: totals[f"otlp_http/{name}"]["sent"] for name in (*ANSWERS, "down")}
    rejected = totals["otlp_http/partial"]["rejected"]
    assert rejected > 0
    assert sent == dict.fromkeys(sent, 0) | {"good": CALLS, "slow": CALLS, "partial": CALLS - rejected}
    for name in sent:
        counted = totals[f"otlp_http/{name}"]
        assert counted["accepted"] == CALLS == counted["sent"] + counted["rejected"] + counted["dropped_failed"], name
        assert counted["queue_items"] == counted["dropped_full"] == 0, name
    assert totals["otlp_http/unavailable"]["retried"] > 0
    assert totals["otlp_http/throttled"]["retried"] > 0
    assert totals["otlp_http/bad_request"]["retried"] == 0
    assert len(stores.sinks["good"].spans) == CALLS
    assert {span.span_id for span in stores.sinks["good"].spans} == {
        span.span_id for span in stores.sinks["slow"].spans
    }
