"""Tokens by modality, under the GenAI conventions' names: parts of the sums in `Usage`. No I/O."""

from typing import Any

from gateway.model import semconv as sc
from gateway.providers.lenient import count_or_none
from gateway.providers.settings import Attributes

_READ = (
    ("text_tokens", sc.GEN_AI_USAGE_TEXT_INPUT_TOKENS),
    ("image_tokens", sc.GEN_AI_USAGE_IMAGE_INPUT_TOKENS),
    ("audio_tokens", sc.GEN_AI_USAGE_AUDIO_INPUT_TOKENS),
)
_CACHED = (
    ("text_tokens", sc.GEN_AI_USAGE_TEXT_CACHE_READ_INPUT_TOKENS),
    ("image_tokens", sc.GEN_AI_USAGE_IMAGE_CACHE_READ_INPUT_TOKENS),
    ("audio_tokens", sc.GEN_AI_USAGE_AUDIO_CACHE_READ_INPUT_TOKENS),
)
_WRITTEN = (
    ("text_tokens", sc.GEN_AI_USAGE_TEXT_OUTPUT_TOKENS),
    ("image_tokens", sc.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS),
    ("audio_tokens", sc.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS),
)


def add_modalities(attributes: Attributes, into: Any, cached: Any, out: Any) -> None:
    """What was read, how much of it from a cache, what was written: as OpenAI has it, `{"audio_tokens": 5}`, or none.

    Counts that come once more take the place of the earlier ones. A 0 is a count, and what is not said is none.
    """
    counted = {
        name: count
        for counts, names in ((into, _READ), (cached, _CACHED), (out, _WRITTEN))
        if isinstance(counts, dict)
        for field, name in names
        if (said := counts.get(field)) is not None and (count := count_or_none(said)) is not None
    }
    if counted:
        attributes[:] = [*(each for each in attributes if each[0] not in counted), *counted.items()]
