"""Settings and refusals that Ollama's chat, generate and embed have in common. No I/O.

Source: ollama 0.6 (`_types.py`, `Options`).
"""

from typing import Any

import msgspec

from gateway.model.exchange import Refusal
from gateway.providers import settings
from gateway.providers.lenient import count_or_none


def add_options(attributes: settings.Attributes, options: Any, think: Any, output_format: Any) -> None:
    if isinstance(options, dict):
        settings.add_double(attributes, settings.TEMPERATURE, options.get("temperature"))
        settings.add_double(attributes, settings.TOP_P, options.get("top_p"))
        settings.add_int(attributes, settings.TOP_K, options.get("top_k"))
        # -1 is without end.
        settings.add_int(attributes, settings.MAX_TOKENS, count_or_none(options.get("num_predict")))
        settings.add_double(attributes, settings.FREQUENCY_PENALTY, options.get("frequency_penalty"))
        settings.add_double(attributes, settings.PRESENCE_PENALTY, options.get("presence_penalty"))
        settings.add_int(attributes, settings.SEED, options.get("seed"))
        settings.add_texts(attributes, settings.STOP_SEQUENCES, options.get("stop"))
    settings.add_text(attributes, settings.REASONING_LEVEL, think)
    if output_format == "json" or isinstance(output_format, dict):
        settings.add_text(attributes, settings.OUTPUT_TYPE, "json")


def ollama_error(refusal: Refusal) -> bytes:
    """The API has neither types nor codes: the SDK raises its one exception with the status and this text."""
    return msgspec.json.encode({"error": refusal.message})


def ollama_error_line(refusal: Refusal) -> bytes:
    return ollama_error(refusal) + b"\n"
