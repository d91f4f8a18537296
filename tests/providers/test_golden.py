"""Each recorded exchange under tests/data reads as its golden file says, wherever the network cut the bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contracts import Provider
from gateway.model.message import RequestReading, ResponseReading
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.generic import Generic
from gateway.providers.known import KnownMessageCache
from gateway.providers.openai_chat import OpenAIChat

DATA = Path(__file__).parent.parent / "data"
PROVIDERS: dict[str, Provider] = {p.name: p for p in (OpenAIChat(), AnthropicMessages(), Generic())}
CASES = sorted(path for name in PROVIDERS for path in (DATA / name).iterdir())
STREAMS = [case for case in CASES if (case / "response.sse").exists()]


def name_of(case: Path) -> str:
    return f"{case.parent.name}/{case.name}"


def read_request(case: Path) -> RequestReading:
    return PROVIDERS[case.parent.name].read_request((case / "request.json").read_bytes(), KnownMessageCache())


def read_response(case: Path, cuts: list[int]) -> ResponseReading:
    """Fed in pieces that end at `cuts`. The case's name tells a refusal from an answer, a whole body from half of one."""
    streamed = (case / "response.sse").exists()
    body = (case / ("response.sse" if streamed else "response.json")).read_bytes()
    content_type = "text/event-stream; charset=utf-8" if streamed else "application/json"
    status = 400 if case.name == "error" else 200
    reader = PROVIDERS[case.parent.name].response_reader(None, status, content_type)
    ends = [*sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in zip([0, *ends], ends, strict=False):
        reader.feed(body[start:end])
    return reader.end(complete=case.name != "interrupted")


def shown(reading: RequestReading | ResponseReading) -> dict[str, Any]:
    """Every field of a reading as JSON."""
    fields: dict[str, Any] = {name: getattr(reading, name) for name in sorted(type(reading).__struct_fields__)}
    for name in ("messages", "system", "definitions"):
        if name in fields:
            fields[name] = [{"message": json.loads(e.json), "texts": e.texts} for e in fields[name]]
    if isinstance(reading, ResponseReading):
        fields["usage"] = reading.usage._asdict()
    elif reading.tools is not None:
        fields["tools"] = json.loads(reading.tools)
    fields["attributes"] = [[name, type(value).__name__, value] for name, value in reading.attributes]
    shown: dict[str, Any] = json.loads(json.dumps(fields))
    return shown


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_recorded_exchange_reads_as_its_golden_file_says(case: Path, update: bool) -> None:
    reading = {"request": shown(read_request(case)), "response": shown(read_response(case, []))}
    golden = case / "reading.json"
    if update:
        golden.write_text(json.dumps(reading, indent=1, ensure_ascii=False) + "\n")
    assert reading == json.loads(golden.read_text())


@pytest.mark.parametrize("case", STREAMS, ids=name_of)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(min_value=0, max_value=100_000), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_reading(case: Path, cuts: list[int]) -> None:
    assert shown(read_response(case, cuts)) == shown(read_response(case, []))


@pytest.mark.parametrize("case", STREAMS, ids=name_of)
def test_a_stream_cut_anywhere_still_gives_a_reading(case: Path) -> None:
    body = (case / "response.sse").read_bytes()
    for end in range(0, len(body), 7):
        reader = PROVIDERS[case.parent.name].response_reader(None, 200, "text/event-stream")
        reader.feed(body[:end])
        reading = reader.end(complete=False)
        assert reading.state in ("truncated", "full")
        assert len(reading.finish_reasons) == len(reading.raw_finish_reasons)


def test_an_answer_reads_the_same_when_the_next_request_repeats_it() -> None:
    case = DATA / "openai_chat" / "tools"
    answer = json.loads((case / "response.json").read_bytes())["choices"][0]["message"]
    body = json.dumps({"model": "m", "messages": [answer]}).encode()
    repeated = PROVIDERS["openai_chat"].read_request(body, KnownMessageCache()).messages[0]
    said = json.loads(read_response(case, []).messages[0].json)
    assert said.pop("finish_reason") == "tool_call"
    assert said == json.loads(repeated.json)


@pytest.mark.parametrize("name", ["unary", "tools"])
def test_an_answer_of_anthropic_reads_the_same_when_the_next_request_repeats_it(name: str) -> None:
    case = DATA / "anthropic_messages" / name
    content = json.loads((case / "response.json").read_bytes())["content"]
    body = json.dumps({"model": "m", "messages": [{"role": "assistant", "content": content}]}).encode()
    repeated = PROVIDERS["anthropic_messages"].read_request(body, KnownMessageCache()).messages[0]
    said = json.loads(read_response(case, []).messages[0].json)
    del said["finish_reason"]
    assert said == json.loads(repeated.json)
