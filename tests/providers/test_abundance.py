"""What says far more than anybody means to is not gone through to its end, and says so."""

import json

import pytest

from gateway.providers import abundance, reader
from gateway.providers.abundance import MOST_VALUES, has_too_many_values
from gateway.providers.anthropic_messages import AnthropicMessages
from gateway.providers.lenient import repaired
from gateway.providers.openai_chat import OpenAIChat

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


@pytest.mark.parametrize("piece", [b"{},", b"[],", b'"",', b"1,     ", b'"a\\",",'])
def test_values_are_counted(piece: bytes) -> None:
    size = abundance._LOOKED_AT // len(piece) + MOST_VALUES
    assert has_too_many_values(b"[" + piece * size + b"1]")


@pytest.mark.parametrize(
    "body",
    [
        b'{"content":"' + b"a, b,, " * 200_000 + b'"}',
        b'{"content":"' + b'\\",' * 200_000 + b'"}',
        b"[" + b'{"role":"user","content":"What is a span?"},' * (MOST_VALUES // 4) + b"1]",
        b"[" + b"{}," * 1000 + b"{}]",
        b"",
        b"," * 1000,
    ],
)
def test_many_bytes_are_not_many_values(body: bytes) -> None:
    assert not has_too_many_values(body)


@pytest.mark.parametrize("piece", [b"{},", b"[1],", b'"",', b"1, {}, -1,"])
def test_numbers_need_not_count_and_all_else_does(piece: bytes) -> None:
    assert has_too_many_values(b"[" + piece * 200_000 + b"1]", numbers=False)
    assert not has_too_many_values(b"[[" + b"1, -0.25,\n7e-3," * 200_000 + b"1]]", numbers=False)


def test_what_says_too_much_is_not_mended_but_vectors_are() -> None:
    with pytest.raises(ValueError, match="too many values"):
        repaired(b'[NaN,{"a":0}' + b',{"a":0}' * 200_000 + b"]")
    assert repaired(b"[NaN" + b",0.5" * 200_000 + b"]").startswith(b"[null,0.5,")


def test_a_whole_answer_of_too_many_values_is_raw_text() -> None:
    body = b'{"content":[' + b"{}," * 200_000 + b"{}]}"
    read = AnthropicMessages().response_reader(None, 200, "application/json")
    read.feed(body)
    reading = read.end(True)
    assert (reading.state, read.cut) == ("unreadable", True)
    assert reading.messages[0].texts == (body.decode(),)


def test_one_event_of_too_many_values_is_shown_as_raw_text_beside_the_others() -> None:
    event = b'{"choices":[' + b"{}," * 200_000 + b'{"delta":{"content":"nightjar"}}]}'
    read = OpenAIChat().response_reader(None, 200, "text/event-stream")
    read.feed(CHUNK + b"data: " + event + b"\n\n" + CHUNK)
    reading = read.end(True)
    assert (reading.state, read.cut) == ("truncated", True)
    assert [message.texts for message in reading.messages] == [("aa",), (event.decode(),)]
    assert len(reading.finish_reasons) == 1


def test_so_are_events_behind_a_thousand_that_nobody_understands() -> None:
    read = OpenAIChat().response_reader(None, 200, "text/event-stream")
    read.feed(CHUNK + b"data: 1\n\n" * 1000 + b"data: nightjar\n\n")
    reading = read.end(True)
    assert (reading.state, read.cut) == ("truncated", True)
    assert [message.texts for message in reading.messages] == [("a",), ("nightjar",)]


@pytest.mark.parametrize("at_once", [True, False])
def test_events_beyond_the_most_are_not_looked_at(monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    monkeypatch.setattr(reader, "MOST_EVENTS", 10)
    read = OpenAIChat().response_reader(None, 200, "text/event-stream")
    for data in [CHUNK * 15] if at_once else [CHUNK] * 15:
        read.feed(data)
    reading = read.end(True)
    assert (reading.state, read.cut) == ("truncated", True)
    assert reading.messages[0].texts[0] == "a" * 10


def test_as_many_events_as_may_be_are_all_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_EVENTS", 10)
    read = OpenAIChat().response_reader(None, 200, "text/event-stream")
    read.feed(CHUNK * 9 + b"data: [DONE]\n\n")
    assert (read.end(True).state, read.cut) == ("full", False)


def test_an_answer_with_the_log_probabilities_of_its_tokens_is_read() -> None:
    likely = {"token": "sky", "logprob": -0.25, "bytes": [115, 107, 121]}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "sky" * 1500},
        "logprobs": {"content": [{**likely, "top_logprobs": [likely] * 5}] * 1500},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 11, "completion_tokens": 1500}
    reading = OpenAIChat().response_reader(None, 200, "application/json")
    reading.feed(json.dumps({"id": "c", "model": "m", "choices": [choice], "usage": usage}).encode())
    read = reading.end(complete=True)
    assert (read.state, read.usage.output_tokens, read.finish_reasons) == ("full", 1500, ["stop"])
