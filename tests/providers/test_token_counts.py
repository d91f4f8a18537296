"""Which of an API's numbers are the tokens of a span: what the GenAI conventions call for where an API says several."""

import json
from typing import Any

import pytest

from gateway.model.message import Usage
from gateway.providers.built_in import formats

PROVIDERS = {provider.name: provider for provider in formats()}


def usage_in(api: str, body: dict[str, Any]) -> Usage:
    reader = PROVIDERS[api].response_reader(None, 200, "application/json")
    reader.feed(json.dumps(body).encode())
    return reader.end(complete=True).usage


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
