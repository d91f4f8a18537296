"""Tokens by modality, under the GenAI conventions' names: parts of the sums in `Usage`. No I/O."""

from collections.abc import Mapping
from typing import Any

from gateway.model import semconv as sc
from gateway.providers.lenient import count_or_none
from gateway.providers.settings import Attributes

_READ = {
    "text_tokens": sc.GEN_AI_USAGE_TEXT_INPUT_TOKENS,
    "image_tokens": sc.GEN_AI_USAGE_IMAGE_INPUT_TOKENS,
    "audio_tokens": sc.GEN_AI_USAGE_AUDIO_INPUT_TOKENS,
}
_CACHED = {
    "text_tokens": sc.GEN_AI_USAGE_TEXT_CACHE_READ_INPUT_TOKENS,
    "image_tokens": sc.GEN_AI_USAGE_IMAGE_CACHE_READ_INPUT_TOKENS,
    "audio_tokens": sc.GEN_AI_USAGE_AUDIO_CACHE_READ_INPUT_TOKENS,
}
_WRITTEN = {
    "text_tokens": sc.GEN_AI_USAGE_TEXT_OUTPUT_TOKENS,
    "image_tokens": sc.GEN_AI_USAGE_IMAGE_OUTPUT_TOKENS,
    "audio_tokens": sc.GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS,
}


def add_modalities(attributes: Attributes, into: Any, cached: Any, out: Any) -> None:
    """What was read, how much of it from a cache, what was written: as OpenAI has it, `{"audio_tokens": 5}`, or none.

    Counts that come once more take the place of the earlier ones. A modality that nobody used is left out: most APIs
    say 0 of all that they know.
    """
    counted = {
        name: count
        for counts, names in ((into, _READ), (cached, _CACHED), (out, _WRITTEN))
        if isinstance(counts, Mapping)
        for field, name in names.items()
        if (count := count_or_none(counts.get(field)))
    }
    if counted:
        attributes[:] = [*(each for each in attributes if each[0] not in counted), *counted.items()]
