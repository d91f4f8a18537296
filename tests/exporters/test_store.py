"""An exchange as the store's record: nothing invented, and no content that the setting forbids."""

import asyncio
from pathlib import Path

import pytest

from gateway.exporters.store import ContentSetting, StoreExporter, record_of
from gateway.link.frames import BatchBuilder
from gateway.link.records import ExchangeRecord
from gateway.link.uplink import Uplink
from gateway.model.exchange import Captured, Exchange, Refusal
from gateway.model.message import (
    Entry,
    Message,
    RequestReading,
    ResponseReading,
    ServerToolCall,
    Text,
    ToolCall,
    Usage,
)
from gateway.model.session import SessionRef
from gateway.model.span import Span
from gateway.model.verdict import Assessment
from gateway.providers.known import entry_of

_SPAN = Span("chat", 2, b"", b"", 0, 0)


@pytest.fixture
def exchange() -> Exchange:
    exchange = Exchange("x1", 5_000, "POST", "/v1/chat?key=***", [], Captured(0), b"t" * 16, b"s" * 8)
    exchange.provider, exchange.api, exchange.operation = "openai", "openai_chat", "chat"
    exchange.status, exchange.end = 200, "finished"
    exchange.opened_ns, exchange.first_byte_ns, exchange.ended_ns = 1_000_000, 3_500_000, 9_000_000
    exchange.overhead_ns = 140_000
    exchange.request = RequestReading()
    exchange.request.model = "gpt-4o"
    exchange.request.system = [_entry("system", "Be brief.")]
    exchange.request.messages = [_entry("user", "my card is 4111")]
    exchange.response = ResponseReading()
    exchange.response.messages = [_entry("assistant", "I see")]
    exchange.response.finish_reasons = ["stop"]
    exchange.response.usage = Usage("reported", 10, None)
    exchange.session = SessionRef("s1", "explicit", 1.0, 1, True)
    return exchange


def _entry(role: str, text: str) -> Entry:
    return entry_of(Message(role, (Text(text),)))


def _whole(entry: Entry) -> bytes:
    return entry.json


def _redacted(entry: Entry) -> bytes:
    return entry.json.replace(b"4111", b"[card]")


def test_a_record_says_what_the_exchange_says(exchange: Exchange) -> None:
    record = record_of(exchange, (), _whole)
    assert (record.id, record.session_id, record.model, record.end) == ("x1", "s1", "gpt-4o", "finished")
    assert record.path == "/v1/chat"
    assert (record.started_ns, record.ended_ns, record.first_byte_ms) == (5_000, 8_005_000, 2.5)
    assert record.overhead_ms == pytest.approx(0.14)
    assert (record.input_tokens, record.output_tokens) == (10, None)
    assert record.finish_reasons == "stop"
    assert [message.role for message in record.messages] == ["system", "user", "assistant"]
    assert record.input_digests == record.messages[0].digest + record.messages[1].digest
    assert record.preview == "my card is 4111"


def test_a_record_says_which_tools_the_answer_asks_for(exchange: Exchange) -> None:
    assert exchange.response is not None
    parts = (Text("tool_call"), ToolCall("search", "1"), ToolCall("search", "2"), ServerToolCall("find\nit", "3"))
    exchange.response.messages = [entry_of(Message("assistant", parts)), _entry("assistant", "a tool_call, they say")]
    record = record_of(exchange, (), lambda entry: b"", lambda text: text.replace("sea", "***"))
    assert (record.tool_calls, record.tools) == (3, "***rch\nfind it")


def test_many_tools_are_counted_and_the_first_ones_named(exchange: Exchange) -> None:
    assert exchange.response is not None
    parts = tuple(ToolCall(f"{number:03}" + "x" * 200) for number in range(50))
    exchange.response.messages = [entry_of(Message("assistant", parts))]
    record = record_of(exchange, (), _whole)
    assert record.tool_calls == 50
    assert [(name[:3], len(name)) for name in record.tools.split("\n")] == [(f"{n:03}", 100) for n in range(20)]


def test_a_record_says_what_the_exchange_cost(exchange: Exchange) -> None:
    assert record_of(exchange, (), _whole).cost_nusd is None
    exchange.cost_nusd = 12
    assert record_of(exchange, (), _whole).cost_nusd == 12


def test_a_message_the_control_plane_has_is_named_but_not_sent(exchange: Exchange) -> None:
    assert exchange.request is not None
    known = {exchange.request.system[0].digest}
    record = record_of(exchange, known, _whole)
    assert [message.role for message in record.messages] == ["user", "assistant"]
    assert len(record.input_digests) == 32


def test_a_long_history_that_is_known_costs_its_digests_alone(exchange: Exchange) -> None:
    assert exchange.request is not None
    exchange.request.messages = [_entry("user", f"{number} " + "long " * 200) for number in range(500)]
    known = {entry.digest for entry in exchange.request.system + exchange.request.messages}
    size = BatchBuilder().add(record_of(exchange, known, _whole))
    assert size < 500 * 16 + 1500


def test_an_exchange_refused_before_it_had_a_session_stands_alone(exchange: Exchange) -> None:
    exchange.session = exchange.request = exchange.response = None
    exchange.refusal = Refusal(404, "unknown_route", "no")
    record = record_of(exchange, (), _whole)
    assert (record.session_id, record.session_source, record.capture) == ("x-x1", "new", "off")
    assert record.refusal_code == "unknown_route"
    assert record.messages == ()


def test_assessments_come_along(exchange: Exchange) -> None:
    exchange.verdict.add(Assessment("protector", "v1", "enforcer", "inlet", "block", "blocked", reason="card ×1"))
    record = record_of(exchange, (), _whole)
    assert record.outcome == "blocked"
    assert [(said.agent, said.direction, said.reason) for said in record.assessments] == [
        ("protector", "inlet", "card ×1")
    ]


@pytest.mark.parametrize(
    ("texts", "preview"),
    [
        (["<system-reminder>Today is Monday</system-reminder>", "Mend the roof"], "Mend the roof"),
        (["\n<task>\nMend the roof\n</task>", "<environment_details>"], "\n<task>\nMend the roof\n</task>"),
        (["", " ", "< 3 tiles, mend them", "Thanks"], "< 3 tiles, mend them"),
    ],
)
def test_what_an_agent_adds_to_a_users_words_names_no_session(
    exchange: Exchange, texts: list[str], preview: str
) -> None:
    assert exchange.request is not None
    exchange.request.messages = [entry_of(Message("user", tuple(Text(text) for text in texts)))]
    assert record_of(exchange, (), _whole).preview == preview


@pytest.mark.parametrize(("sequence", "preview"), [(1, "my card is 4111"), (2, "my card is 4111"), (3, "")])
def test_a_session_is_called_by_one_of_its_first_two(exchange: Exchange, sequence: int, preview: str) -> None:
    exchange.session = SessionRef("s1", "client", 0.95, sequence, False)
    assert record_of(exchange, (), _whole).preview == preview


@pytest.mark.parametrize(
    ("content", "preview", "stored"),
    [
        ("full", "my card is 4111", True),
        ("redacted", "my card is [card]", True),
        ("none", "", False),
    ],
)
async def test_content_is_stored_as_the_setting_says(
    exchange: Exchange, content: ContentSetting, preview: str, stored: bool, tmp_path: Path
) -> None:
    uplink = _Kept(tmp_path)
    StoreExporter("store", uplink, content, _redacted).export(exchange, _SPAN)
    (record,) = uplink.records
    assert record.preview == preview
    assert any(b"4111" in message.json for message in record.messages) == (content == "full")
    assert all(bool(message.json) == stored for message in record.messages)


@pytest.mark.parametrize(("new_among_messages", "new_from"), [(0, 0), (1, 2)])
def test_what_is_new_is_counted_with_the_instructions_ahead(
    exchange: Exchange, new_among_messages: int, new_from: int
) -> None:
    assert exchange.session is not None
    exchange.session.new_from = new_among_messages
    assert record_of(exchange, (), _whole).new_from == new_from


async def test_a_redactor_that_fails_keeps_the_content_in(exchange: Exchange, tmp_path: Path) -> None:
    def broken(entry: Entry) -> bytes:
        raise RuntimeError("no")

    uplink = _Kept(tmp_path)
    exporter = StoreExporter("store", uplink, "redacted", broken)
    exporter.export(exchange, _SPAN)
    assert uplink.records == []
    assert exporter.counters()["failed"] == 1


async def test_the_exporter_drains_within_its_deadline_though_nobody_listens(
    exchange: Exchange, tmp_path: Path
) -> None:
    exporter = StoreExporter("store", Uplink(str(tmp_path / "nobody"), "w"), "full", _whole)
    await exporter.start()
    exporter.export(exchange, _SPAN)
    async with asyncio.timeout(10):
        await exporter.drain(0)
    assert exporter.counters()["dropped"] == 1


class _Kept(Uplink):
    """An uplink that goes nowhere."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder / "nobody"), "w")
        self.records: list[ExchangeRecord] = []

    def send(self, record: ExchangeRecord) -> None:
        self.records.append(record)


def test_model_user_and_path_are_stored_as_they_may_be(exchange: Exchange) -> None:
    assert exchange.request is not None
    exchange.request.model, exchange.user, exchange.target = "m", "u", "/p?q=1"
    record = record_of(exchange, (), _whole, lambda word: f"<{word}>")
    assert (record.model, record.user, record.path) == ("<m>", "<u>", "</p>")
    exchange.target = "/p#key=abc"
    assert record_of(exchange, (), _whole).path == "/p"
