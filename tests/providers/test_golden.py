"""Each recorded exchange under tests/data reads as its golden file says, wherever the network cut the bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contracts import AsksInTarget, Provider
from gateway.model.message import RequestReading, ResponseReading
from gateway.providers.built_in import formats
from gateway.providers.known import KnownMessageCache
from gateway.providers.lenient import raw_text

DATA = Path(__file__).parent.parent / "data"
PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in formats()}
REMEMBERED = frozenset({"reader", "earlier", "repeated", "history"})
"""No part of what a request says."""
FORM_TYPE = "multipart/form-data; boundary=cut"
CONTENT_TYPES = {
    "response.sse": "text/event-stream; charset=utf-8",
    "response.eventstream": "application/vnd.amazon.eventstream",
    "response.ndjson": "application/x-ndjson",
    "response.array": "application/json; charset=UTF-8",
    "response.json": "application/json",
    "response.bin": "audio/wav",
    "response.txt": "text/plain; charset=utf-8",
}
"""By the name of the file that holds the body; an array is a stream all the same."""
CASES = sorted(case for api in DATA.iterdir() if api.name != "policy" for case in api.iterdir())
STREAM_FILES = ("response.sse", "response.eventstream", "response.ndjson", "response.array")
STREAMS = [case for case in CASES if any((case / name).exists() for name in STREAM_FILES)]
CUT = [*STREAMS, *(case for case in CASES if (case / "response.bin").exists())]


KINDS = ("unary", "stream", "tools", "tools_stream", "error", "error_in_stream", "interrupted")
"""What is recorded of each API; a case that shows more of one is named for what it shows."""
OTHERWISE_NAMED = {
    ("anthropic_batches", "unary"): "create",
    ("vertex_predict", "unary"): "image",
    ("openai_realtime", "error_in_stream"): "failed",
}
_NO_TOOLS = {"tools": "its models call no tools", "tools_stream": "its models call no tools"}
_ONE_ANSWER = _NO_TOOLS | dict.fromkeys(("stream", "error_in_stream"), "its answers are never streamed")
_EVENTS_ONLY = dict.fromkeys(("unary", "tools"), "each of its answers is a stream of events")
_NOBODYS = dict.fromkeys(("tools_stream", "error_in_stream"), "nobody knows what a tool or an error is there")
LACKING: dict[str, dict[str, str]] = {
    "openai_responses_count": _ONE_ANSWER,
    "openai_completions": _NO_TOOLS,
    "openai_embeddings": _ONE_ANSWER,
    "openai_images": _NO_TOOLS,
    "openai_speech": _NO_TOOLS,
    "openai_transcriptions": _NO_TOOLS,
    "openai_moderations": _ONE_ANSWER,
    "openai_realtime": _EVENTS_ONLY,
    "bedrock_embeddings": _ONE_ANSWER,
    "bedrock_count_tokens": _ONE_ANSWER,
    "anthropic_count_tokens": _ONE_ANSWER,
    "anthropic_batches": _ONE_ANSWER,
    "anthropic_vertex_count_tokens": _ONE_ANSWER,
    "gemini_embeddings": _ONE_ANSWER,
    "gemini_count_tokens": _ONE_ANSWER,
    "vertex_embeddings": _ONE_ANSWER,
    "vertex_predict": _ONE_ANSWER,
    "ollama_generate": _NO_TOOLS,
    "ollama_embeddings": _ONE_ANSWER,
    "cohere_embeddings": _ONE_ANSWER,
    "cohere_rerank": _ONE_ANSWER,
    "mistral_fim": _NO_TOOLS,
    "generic": _NOBODYS,
}
"""Why an API has no case of a kind."""


def name_of(case: Path) -> str:
    return f"{case.parent.name}/{case.name}"


def read_request(case: Path) -> RequestReading | None:
    """From JSON or from a form; a case without a request is a GET. `target.txt`: where the path says something too."""
    target, provider = case / "target.txt", PROVIDERS[case.parent.name]
    for name, content_type in (("request.json", "application/json"), ("request.form", FORM_TYPE)):
        if (file := case / name).exists():
            return provider.read_request(
                file.read_bytes(),
                KnownMessageCache(),
                target.read_text().strip() if target.exists() else "",
                content_type,
            )
    if target.exists() and isinstance(provider, AsksInTarget):
        return provider.read_target(target.read_text().strip())
    return None


def response_of(case: Path) -> tuple[bytes, str]:
    """The recorded body and its content type."""
    [(name, content_type)] = [pair for pair in CONTENT_TYPES.items() if (case / pair[0]).exists()]
    return (case / name).read_bytes(), content_type


def read_response(case: Path, cuts: list[int]) -> ResponseReading:
    """Fed in pieces that end at `cuts`. The case's name tells a refusal from an answer, a whole body from half of one."""
    body, content_type = response_of(case)
    failed = case.name.startswith(("error", "azure_error")) and case not in STREAMS
    reader = PROVIDERS[case.parent.name].response_reader(None, 400 if failed else 200, content_type)
    ends = [*sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in zip([0, *ends], ends, strict=False):
        reader.feed(body[start:end])
    return reader.end(complete=not case.name.startswith("interrupted"))


def shown(reading: RequestReading | ResponseReading | None) -> dict[str, Any] | None:
    """Every field of a reading as JSON."""
    if reading is None:
        return None
    fields: dict[str, Any] = {
        name: getattr(reading, name) for name in sorted(type(reading).__struct_fields__) if name not in REMEMBERED
    }
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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("api", PROVIDERS)
def test_each_api_has_a_case_of_each_kind_or_a_reason(api: str, kind: str) -> None:
    case = DATA / api / OTHERWISE_NAMED.get((api, kind), kind)
    lacks = kind in LACKING.get(api, {})
    assert (case in CASES) != lacks
    if not lacks and kind not in ("error", "interrupted"):
        assert (case in STREAMS) == kind.endswith("stream")


def test_cases_and_reasons_are_of_apis_that_are_read() -> None:
    assert {case.parent.name for case in CASES} == set(PROVIDERS)
    assert set(LACKING) | {api for api, _ in OTHERWISE_NAMED} <= set(PROVIDERS)
    assert {kind for lacking in LACKING.values() for kind in lacking} <= set(KINDS)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_recorded_exchange_reads_as_its_golden_file_says(case: Path, update: bool) -> None:
    reading = {"request": shown(read_request(case)), "response": shown(read_response(case, []))}
    golden = case / "reading.json"
    if update:
        golden.write_text(json.dumps(reading, indent=1, ensure_ascii=False) + "\n")
    assert reading == json.loads(golden.read_text())


@pytest.mark.parametrize("case", CUT, ids=name_of)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(min_value=0, max_value=100_000), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_reading(case: Path, cuts: list[int]) -> None:
    assert shown(read_response(case, cuts)) == shown(read_response(case, []))


def said_in(reading: ResponseReading) -> list[dict[str, str]]:
    """By message what was said and thought."""
    return [
        {
            kind: "".join(part.get("content", "") for part in json.loads(message.json)["parts"] if part["type"] == kind)
            for kind in ("text", "reasoning", "compaction")
        }
        for message in reading.messages
    ]


@pytest.mark.parametrize("case", STREAMS, ids=name_of)
def test_a_stream_cut_anywhere_gives_a_beginning_of_what_was_said(case: Path) -> None:
    body, content_type = response_of(case)
    whole = said_in(read_response(case, []))
    shown_so_far = 0
    for end in range(0, len(body), 7):
        reader = PROVIDERS[case.parent.name].response_reader(None, 200, content_type)
        reader.feed(body[:end])
        reading = reader.end(complete=False)
        assert reading.state in ("truncated", "full")
        assert len(reading.finish_reasons) == len(reading.raw_finish_reasons)
        said = said_in(reading)
        if shown_so_far == 0 and reading.finish_reasons == ["error"] and is_raw(said, body[:end]):
            continue  # not one event has come whole: agents see what has
        assert len(said) <= len(whole)
        for part, all_of_it in zip(said, whole, strict=False):
            assert all(all_of_it[kind].startswith(text) for kind, text in part.items()), end
        length = sum(len(text) for part in said for text in part.values())
        assert length >= shown_so_far
        shown_so_far = length


def is_raw(said: list[dict[str, str]], body: bytes) -> bool:
    """Half a frame is shown with its framing, half an event without."""
    text = said[0]["text"] if len(said) == 1 else ""
    return text != "" and (text == raw_text(body) or text[:20] in body.decode("utf-8", "replace"))


@pytest.mark.parametrize("case", [case for case in STREAMS if b"[DONE]" in response_of(case)[0]], ids=name_of)
def test_a_stream_that_ends_twice_ended_once(case: Path) -> None:
    body, content_type = response_of(case)
    reader = PROVIDERS[case.parent.name].response_reader(None, 200, content_type)
    reader.feed(body + b"data: [DONE]\n\n")
    assert shown(reader.end(complete=True)) == shown(read_response(case, []))


@pytest.mark.parametrize("api", ["openai_chat", "openai_completions", "openai_responses", "mistral_fim"])
def test_an_end_without_an_answer_is_an_answer_that_never_came(api: str) -> None:
    reader = PROVIDERS[api].response_reader(None, 200, "text/event-stream")
    reader.feed(b"data: [DONE]\n\n" * 2)
    reading = reader.end(complete=True)
    assert (reading.state, reading.messages, reading.usage.state) == ("full", [], "missing")
    assert (reading.finish_reasons, reading.raw_finish_reasons) == (["error"], [""])


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


def test_an_answer_of_responses_reads_the_same_when_the_next_request_repeats_it() -> None:
    """Its items are one message there too, whatever stands before and behind them."""
    case = DATA / "openai_responses" / "unary"
    said = json.loads(read_response(case, []).messages[0].json)
    del said["finish_reason"]
    # A shell's output is an item of its own: where a client runs it, it is a tool that speaks.
    output = [
        item for item in json.loads((case / "response.json").read_bytes())["output"] if "shell" not in item["type"]
    ]
    said["parts"] = [part for part in said["parts"] if "shell" not in json.dumps(part)]
    asked, result = {"role": "user", "content": "?"}, {"type": "function_call_output", "call_id": "c", "output": "x"}
    body = json.dumps({"model": "m", "input": [asked, *output, result]}).encode()
    messages = PROVIDERS["openai_responses"].read_request(body, KnownMessageCache()).messages
    assert [message.role for message in messages] == ["user", "assistant", "tool"]
    assert json.loads(messages[1].json) == said


def test_a_turn_that_was_seen_is_read_once() -> None:
    body = (DATA / "openai_responses" / "tools" / "request.json").read_bytes()
    known = KnownMessageCache()
    first, second = (PROVIDERS["openai_responses"].read_request(body, known).messages for _ in range(2))
    assert all(one is other for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("api", "path", "field"),
    [
        ("gemini_generate_content", ("candidates", 0, "content"), "contents"),
        ("ollama_chat", ("message",), "messages"),
        ("cohere_chat", ("message",), "messages"),
    ],
)
@pytest.mark.parametrize("name", ["unary", "tools"])
def test_any_apis_answer_reads_the_same_when_the_next_request_repeats_it(
    api: str, path: tuple[str | int, ...], field: str, name: str
) -> None:
    case = DATA / api / name
    message = json.loads((case / "response.json").read_bytes())
    for step in path:
        message = message[step]
    repeated = PROVIDERS[api].read_request(json.dumps({field: [message]}).encode(), KnownMessageCache()).messages[0]
    said = json.loads(read_response(case, []).messages[0].json)
    del said["finish_reason"]
    assert said == json.loads(repeated.json)
