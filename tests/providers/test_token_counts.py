"""Which of an API's numbers are the tokens of a span: what the GenAI conventions call for where an API says several."""

import json
from typing import Any

import pytest

from gateway.model.message import ResponseReading, Usage
from gateway.providers.built_in import formats

PREFIX = "gen_ai.usage."
PROVIDERS = {provider.name: provider for provider in formats()}


def read(api: str, *events: dict[str, Any]) -> ResponseReading:
    """A whole answer, or a stream's where there are several events or it is an API that has only those."""
    stream = len(events) > 1 or api == "openai_realtime"
    reader = PROVIDERS[api].response_reader(None, 200, "application/x-ndjson" if stream else "application/json")
    reader.feed(b"\n".join(json.dumps(event).encode() for event in events))
    return reader.end(complete=True)


def usage_in(api: str, body: dict[str, Any]) -> Usage:
    return read(api, body).usage


def by_modality(reading: ResponseReading) -> dict[str, Any]:
    return {name.removeprefix(PREFIX): value for name, value in reading.attributes if name.startswith(PREFIX)}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            {"billed_units": {"input_tokens": 3.0, "output_tokens": 12.0}, "tokens": {"input_tokens": 71.0}},
            Usage("reported", 3, 12),
        ),
        ({"tokens": {"input_tokens": 71.0, "output_tokens": 12.0}}, Usage("reported", 71, 12)),
        (
            {"billed_units": {"output_tokens": 12}, "tokens": {"input_tokens": 71, "output_tokens": 13}},
            Usage("reported", 71, 12),
        ),
        # No part of the input: the prompt it was counted in is not what is billed.
        (
            {
                "billed_units": {"input_tokens": 3, "output_tokens": 1},
                "tokens": {"input_tokens": 71},
                "cached_tokens": 16,
            },
            Usage("reported", 3, 1),
        ),
        (
            {"billed_units": {"input_tokens": 30, "output_tokens": 1}, "cached_tokens": 16},
            Usage("reported", 30, 1, 16),
        ),
    ],
    ids=["billed beside consumed", "consumed alone", "billed in part", "cached beyond the bill", "cached within"],
)
def test_what_cohere_bills_counts_where_it_says_that_too(said: dict[str, Any], meant: Usage) -> None:
    message = {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}
    body = {"id": "c", "finish_reason": "COMPLETE", "message": message, "usage": said}
    assert usage_in("cohere_chat", body) == meant


CHOICE = {"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
CHAT_DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 2, "text_tokens": 6, "audio_tokens": 4, "image_tokens": 0},
    "completion_tokens_details": {"text_tokens": 3, "audio_tokens": 5, "reasoning_tokens": 0},
}
CHAT_COUNTS = {
    "text.input_tokens": 6,
    "audio.input_tokens": 4,
    "image.input_tokens": 0,
    "text.output_tokens": 3,
    "audio.output_tokens": 5,
}
DETAILS = {
    "input_tokens_details": {"text_tokens": 6, "image_tokens": 4},
    "output_tokens_details": {"text_tokens": 0, "image_tokens": 8},
}
HEARD = {"input_token_details": {"text_tokens": 0, "audio_tokens": 14}, "type": "tokens"}
SPOKEN = {
    "input_token_details": {"audio_tokens": 9, "cached_tokens_details": {"audio_tokens": 7}},
    "output_token_details": {"text_tokens": 2, "audio_tokens": 3},
}
COUNTED = {
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 6}, {"modality": "IMAGE", "tokenCount": 258}],
    "toolUsePromptTokensDetails": [{"modality": "MODALITY_UNSPECIFIED", "tokenCount": 4}],
    "cacheTokensDetails": [{"modality": "IMAGE", "tokenCount": 258}],
    "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 9}, {"modality": "VIDEO", "tokenCount": 1}, None],
}


@pytest.mark.parametrize(
    ("api", "body", "counts"),
    [
        (
            "openai_chat",
            {"choices": [CHOICE], "usage": {"prompt_tokens": 10, "completion_tokens": 8, **CHAT_DETAILS}},
            CHAT_COUNTS,
        ),
        (
            "openai_chat",
            {"choices": [CHOICE], "usage": {"prompt_tokens": 10.0, "completion_tokens": 8, **CHAT_DETAILS}},
            CHAT_COUNTS,
        ),
        (
            "openai_images",
            {"data": [], "usage": {"input_tokens": 10, "output_tokens": 8, **DETAILS}},
            {"text.input_tokens": 6, "image.input_tokens": 4, "text.output_tokens": 0, "image.output_tokens": 8},
        ),
        (
            "openai_transcriptions",
            {"text": "Hello", "usage": {"input_tokens": 14, "output_tokens": 2, **HEARD}},
            {"text.input_tokens": 0, "audio.input_tokens": 14},
        ),
        (
            "openai_realtime",
            {"type": "response.done", "response": {"status": "completed", "output": [], "usage": SPOKEN}},
            {
                "audio.input_tokens": 9,
                "audio.cache_read.input_tokens": 7,
                "text.output_tokens": 2,
                "audio.output_tokens": 3,
            },
        ),
        (
            "gemini_generate_content",
            {"candidates": [], "usageMetadata": {"promptTokenCount": 264, "candidatesTokenCount": 10, **COUNTED}},
            {
                "text.input_tokens": 10,
                "image.input_tokens": 258,
                "image.cache_read.input_tokens": 258,
                "audio.output_tokens": 9,
            },
        ),
        ("openai_chat", {"choices": [CHOICE], "usage": {"prompt_tokens": 1, "prompt_tokens_details": [1]}}, {}),
        ("openai_images", {"data": [], "usage": [1]}, {}),
        ("gemini_generate_content", {"candidates": [], "usageMetadata": {"promptTokensDetails": {"a": 1}}}, {}),
    ],
)
def test_tokens_are_told_by_modality_where_an_api_does(api: str, body: dict[str, Any], counts: dict[str, int]) -> None:
    assert by_modality(read(api, body)) == counts


def test_counts_by_modality_that_grow_with_a_stream_are_said_once() -> None:
    chunks = [
        {"choices": [], "usage": {"prompt_tokens": 9, "prompt_tokens_details": {"audio_tokens": count}}}
        for count in (4, 9)
    ]
    said = read("openai_chat", *chunks)
    assert said.attributes == [("gen_ai.usage.audio.input_tokens", 9)]


@pytest.mark.parametrize(
    ("details", "counts"),
    [({"audio_tokens": 0}, {"audio.input_tokens": 0}), ({"audio_tokens": None}, {}), ({"cached_tokens": 0}, {})],
)
def test_a_modality_of_which_an_api_says_0_was_counted_and_one_it_does_not_name_was_not(
    details: dict[str, Any], counts: dict[str, int]
) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": details}
    assert by_modality(read("openai_chat", {"choices": [CHOICE], "usage": usage})) == counts
    google = [{"modality": name.removesuffix("_tokens"), "tokenCount": count} for name, count in details.items()]
    said = by_modality(read("gemini_generate_content", {"usageMetadata": {"promptTokensDetails": google}}))
    assert said == counts


def test_a_later_0_takes_the_place_of_an_earlier_count() -> None:
    chunks = [
        {"choices": [], "usage": {"prompt_tokens": 9, "prompt_tokens_details": {"audio_tokens": count}}}
        for count in (5, 0)
    ]
    assert read("openai_chat", *chunks).attributes == [("gen_ai.usage.audio.input_tokens", 0)]
