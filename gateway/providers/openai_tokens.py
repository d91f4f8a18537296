"""Tokens as OpenAI's newer APIs count them (Responses, images, transcriptions). Chat Completions has older names."""

from typing import Any

from gateway.model.message import ResponseReading, Usage
from gateway.providers.lenient import count_or_none
from gateway.providers.modalities import add_modalities


def add_tokens(reading: ResponseReading, said: Any) -> None:
    """All of them, by modality too where that is said; transcriptions have another name for it than images."""
    reading.usage = tokens_of(said)
    if isinstance(said, dict):
        into, out = (
            said.get(f"{way}_tokens_details") or said.get(f"{way}_token_details") for way in ("input", "output")
        )
        add_modalities(reading.attributes, into, None, out)


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
