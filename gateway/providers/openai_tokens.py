"""Tokens as OpenAI's newer APIs count them (Responses, images, transcriptions). Chat Completions has older names."""

from typing import Any

from gateway.model.message import Usage
from gateway.providers.lenient import count_or_none


def tokens_of(said: Any) -> Usage:
    """Whatever is a count is taken; cached tokens are a part of the input, as the convention wants them."""
    if not isinstance(said, dict):
        return Usage()
    into, out = count_or_none(said.get("input_tokens")), count_or_none(said.get("output_tokens"))
    if into is None and out is None:
        return Usage()
    details, out_details = _details(said, "input_tokens_details"), _details(said, "output_tokens_details")
    return Usage(
        "partial" if into is None or out is None else "reported",
        into,
        out,
        count_or_none(details.get("cached_tokens")),
        count_or_none(details.get("cache_write_tokens")),
        count_or_none(out_details.get("reasoning_tokens")),
    )


def _details(said: dict[str, Any], field: str) -> dict[str, Any]:
    details = said.get(field)
    return details if isinstance(details, dict) else {}
