"""What is wrong in requests and answers of OpenAI's further APIs: nothing raises, nothing unreadable is invisible."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.contracts import Provider
from gateway.model.message import RequestReading, ResponseReading
from gateway.providers.known import KnownMessageCache
from gateway.providers.openai_completions import OpenAICompletions
from gateway.providers.openai_embeddings import OpenAIEmbeddings
from gateway.providers.openai_images import OpenAIImages
from gateway.providers.openai_moderations import OpenAIModerations
from gateway.providers.openai_responses import OpenAIResponses
from gateway.providers.openai_speech import OpenAISpeech
from gateway.providers.openai_transcriptions import OpenAITranscriptions

TEXT_IN: list[tuple[Provider, str]] = [
    (OpenAIResponses(), "input"),
    (OpenAICompletions(), "prompt"),
    (OpenAIEmbeddings(), "input"),
    (OpenAIModerations(), "input"),
    (OpenAIImages(), "prompt"),
    (OpenAISpeech(), "input"),
    (OpenAITranscriptions(), "prompt"),
]
EACH = pytest.mark.parametrize(("provider", "field"), TEXT_IN, ids=[provider.name for provider, _ in TEXT_IN])
DEEP = b"[" * 10_000 + b"]" * 10_000
WRONG: list[Any] = [None, True, 0, -1, 1.5, 10**400, "", "text", [], [[]], [None, 1, "x"], {}, {"type": 1}, {"a": {}}]
REQUEST_FIELDS = [
    "model",
    "input",
    "prompt",
    "instructions",
    "tools",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "max_output_tokens",
    "max_tokens",
    "reasoning",
    "text",
    "service_tier",
    "user",
    "safety_identifier",
    "previous_response_id",
    "conversation",
    "metadata",
    "client_metadata",
    "suffix",
    "n",
    "stop",
    "prompt_cache_key",
    "dimensions",
    "encoding_format",
    "image",
    "images",
    "mask",
    "voice",
    "response_format",
    "stream_format",
    "keywords",
]
ITEM_KINDS = [
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "mcp_call",
    "mcp_list_tools",
    "image_generation_call",
    "shell_call",
    "shell_call_output",
    "local_shell_call",
    "computer_call",
    "computer_call_output",
    "apply_patch_call",
    "compaction",
    "item_reference",
    "nonsense",
]
ITEM_FIELDS = [
    "role",
    "content",
    "name",
    "call_id",
    "id",
    "arguments",
    "input",
    "output",
    "outputs",
    "results",
    "result",
    "error",
    "summary",
    "action",
    "code",
    "encrypted_content",
    "output_format",
]
EVENTS = [
    "response.created",
    "response.completed",
    "response.output_item.added",
    "response.output_item.done",
    "error",
    "response.output_text.delta",
    "response.refusal.delta",
    "response.reasoning_summary_text.delta",
    "response.mcp_call_arguments.delta",
    "response.function_call_arguments.delta",
    "response.shell_call_command.delta",
    "response.new",
    "transcript.text.delta",
    "transcript.text.done",
    "speech.audio.delta",
    "image_generation.completed",
]
EVENT_FIELDS = [
    "response",
    "item",
    "delta",
    "output_index",
    "content_index",
    "summary_index",
    "error",
    "code",
    "type",
    "text",
    "audio",
    "b64_json",
    "usage",
]


def read(provider: Provider, body: bytes, content_type: str = "application/json") -> RequestReading:
    return provider.read_request(body, KnownMessageCache(), "", content_type)


def answer(provider: Provider, body: bytes, content_type: str = "application/json") -> ResponseReading:
    reader = provider.response_reader(None, 200, content_type)
    reader.feed(body)
    return reader.end(complete=True)


def seen(reading: RequestReading | ResponseReading) -> str:
    return "\n".join(text for entry in reading.messages for text in entry.texts)


@EACH
@pytest.mark.parametrize(
    "body",
    [
        b"plain words: nightjar",
        b'{"model": "m", "FIELD": "nightjar"',
        b'{"model": "m", "other": "nightjar"}',
        b'["nightjar"]',
        b'{"other": ' + DEEP + b', "x": "nightjar"}',
        b'{"other": "\\u006eight\\u006aar"}',
        b"\xff\xfe\xffnightjar",
    ],
)
def test_an_unreadable_request_is_shown_as_raw_text(provider: Provider, field: str, body: bytes) -> None:
    reading = read(provider, body.replace(b"FIELD", field.encode()))
    assert reading.state == "unreadable"
    assert "nightjar" in seen(reading)


@EACH
@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"FIELD": "nightjar"}',
        '{"FIELD": "nightjar é"}'.encode("utf-16"),
        b'{"FIELD": "\\ud800 nightjar"}',
        b'{"FIELD": "\\u006eight\\u006aar", "temperature": NaN}',
    ],
)
def test_json_that_some_upstream_may_accept_is_understood(provider: Provider, field: str, body: bytes) -> None:
    name = field.encode("utf-16-le") if b"\0" in body else field.encode()
    reading = read(provider, body.replace("FIELD".encode("utf-16-le") if b"\0" in body else b"FIELD", name))
    assert reading.state == "full"
    assert "nightjar" in seen(reading)


@EACH
def test_of_two_fields_of_one_name_both_are_seen(provider: Provider, field: str) -> None:
    reading = read(provider, b' {"FIELD" : "x", "FIELD": "nightjar"}\n'.replace(b"FIELD", field.encode()))
    assert reading.state == "unreadable"
    assert "nightjar" in seen(reading)


@EACH
@pytest.mark.parametrize("name", REQUEST_FIELDS)
def test_wrong_types_in_a_request_never_raise(provider: Provider, field: str, name: str) -> None:
    for wrong in WRONG:
        reading = read(provider, json.dumps({"model": "m", field: "nightjar", name: wrong}).encode())
        assert "nightjar" in seen(reading) or name == field


@EACH
def test_what_is_no_text_where_one_should_be_is_still_seen(provider: Provider, field: str) -> None:
    for odd in ({"0": "nightjar"}, [["nightjar"]], [{"type": "hologram", "label": "nightjar"}], {"text": ["nightjar"]}):
        assert "nightjar" in seen(read(provider, json.dumps({field: odd}).encode()))


@pytest.mark.parametrize("kind", ITEM_KINDS)
def test_wrong_types_in_an_item_never_raise_and_stay_visible(kind: str) -> None:
    provider = OpenAIResponses()
    for field in ITEM_FIELDS:
        for wrong in WRONG:
            item = {"type": kind, "role": "user", "content": "x", field: wrong}
            body = {"input": [{"role": "user", "content": "nightjar"}, item, wrong]}
            assert "nightjar" in seen(read(provider, json.dumps(body).encode()))
            whole = {"id": "r", "status": "completed", "output": [item, wrong], "error": None}
            answer(provider, json.dumps(whole).encode())


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("provider", [provider for provider, _ in TEXT_IN], ids=lambda provider: provider.name)
def test_wrong_types_in_events_never_raise(provider: Provider, kind: str) -> None:
    for field in EVENT_FIELDS:
        for wrong in WRONG:
            for inner in ({field: wrong}, {field: {"output": wrong, "status": wrong, "usage": wrong, "error": wrong}}):
                raw = json.dumps({"type": kind, "delta": "x", **inner}).encode()
                reading = answer(provider, b"data: " + raw + b"\n\n", "text/event-stream")
                assert len(reading.finish_reasons) == len(reading.raw_finish_reasons)


@EACH
@given(body=st.binary(max_size=300))
def test_no_bytes_raise(provider: Provider, field: str, body: bytes) -> None:
    for content_type in ("application/json", "multipart/form-data; boundary=x", "multipart/form-data", "audio/wav", ""):
        read(provider, body, content_type)
        answer(provider, body, content_type)


def test_one_bad_item_does_not_spoil_the_others() -> None:
    bad = b'{"type": "message", "role": "user", "content": ' + b"[" * 800 + b'"nightjar"' + b"]" * 800 + b"}"
    reading = read(OpenAIResponses(), b'{"input": [{"role": "user", "content": "fine"}, ' + bad + b"]}")
    assert seen(reading).startswith("fine")
    assert "nightjar" in seen(reading)


def test_vectors_are_never_shown_however_broken_the_answer() -> None:
    for body in (b'{"data": [{"embedding": [0.125, 0.5', b'{"data": [{"embedding": "AAAA"}]} trailing', b"0.125"):
        assert answer(OpenAIEmbeddings(), body).messages == []


def test_of_a_broken_form_agents_see_all_and_spans_no_sound() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF\0\1\2 nightjar'
    [begun] = read(OpenAITranscriptions(), body, "multipart/form-data; boundary=x").messages
    assert b"RIFF" not in begun.json
    unreadable = read(OpenAITranscriptions(), body, "multipart/form-data; boundary=other")
    assert "nightjar" in seen(unreadable)
    assert b"RIFF" not in unreadable.messages[0].json


@pytest.mark.parametrize("item", ['{"type": "reasoning"}', '"x"', "1", '{"role": "user", "content": "x"}'])
def test_too_many_items_are_one_text(item: str) -> None:
    body = f'{{"input": [{", ".join([item] * 50_000)}, "nightjar"]}}'.encode()
    for provider in (OpenAIResponses(), OpenAIEmbeddings()):
        reading = read(provider, body)
        assert len(reading.messages) == 1
        assert "nightjar" in seen(reading)


def test_a_million_images_are_not_read_one_by_one() -> None:
    body = b'{"data": [%b]}' % (b'{"url": "x"},' * 999_999 + b"{}")
    reading = answer(OpenAIImages(), body)
    assert (reading.state, reading.messages) == ("unreadable", [])  # what would be shown could be an image


def test_a_million_moderations_are_one_text() -> None:
    body = b'{"results": [%b{"categories": "nightjar"}]}' % (b"{}," * 999_999)
    reading = answer(OpenAIModerations(), body)
    assert (reading.state, reading.finish_reasons) == ("unreadable", ["error"])
    [message] = reading.messages
    assert message.texts[0].encode() == body


def test_as_many_as_somebody_may_ask_for_are_read() -> None:
    body = b'{"data": [%b]}' % b", ".join([b'{"url": "http://i/1.png"}'] * 100)
    assert len(answer(OpenAIImages(), body).messages) == 100


def test_each_of_two_prompts_in_a_form_is_seen() -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
    body = part + b"nightjar\r\n" + part + b"harmless\r\n--x--\r\n"
    assert seen(read(OpenAIImages(), body, "multipart/form-data; boundary=x")) == "nightjar\nharmless"


def test_what_came_of_two_shell_commands_stays_two() -> None:
    deltas = [(0, "ls"), (1, "ca"), (0, " -l"), (1, "t x")]
    kind = "response.shell_call_command.delta"
    events = [{"type": kind, "output_index": 0, "command_index": index, "delta": said} for index, said in deltas]
    stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    assert '["ls -l","cat x"]' in seen(answer(OpenAIResponses(), stream, "text/event-stream"))


def test_wrong_types_in_a_choice_of_completions_never_raise() -> None:
    for field in ("text", "index", "finish_reason", "logprobs"):
        for wrong in WRONG:
            raw = json.dumps({"choices": [{"index": 0, "text": "x", field: wrong}, wrong], "usage": wrong}).encode()
            answer(OpenAICompletions(), raw)
            answer(OpenAICompletions(), b"data: " + raw + b"\n\n", "text/event-stream")


def test_going_on_with_a_conversation_and_no_input_is_a_request() -> None:
    reading = read(OpenAIResponses(), b'{"model": "m", "conversation": {"id": "c-1"}}')
    assert (reading.state, reading.messages, reading.session_hints) == ("full", [], {"conversation.id": "c-1"})


def test_an_item_whose_kind_is_no_word_is_no_call() -> None:
    reader = OpenAIResponses().response_reader(None, 200, "application/json")
    reader.feed(
        b'{"status": "completed", "output": [{"type": ["function_call"]}, {"type": {}, "execution": "client"}]}'
    )
    assert reader.end(complete=True).finish_reasons == ["stop"]
