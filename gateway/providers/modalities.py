"""Tokens by modality, under the GenAI conventions' names: parts of the sums in `Usage`. No I/O."""

from collections.abc import Mapping
from typing import Any

from gateway.providers.lenient import count_or_none
from gateway.providers.settings import Attributes

_MODALITIES = ("text", "image", "audio")


def add_modalities(attributes: Attributes, into: Any, cached: Any, out: Any) -> None:
    """What was read, how much of it from a cache, what was written: as OpenAI has it, `{"audio_tokens": 5}`, or none.

    Counts that come once more take the place of the earlier ones. A modality that nobody used is left out: most APIs
    say 0 of all that they know.
    """
    counted = {
        f"gen_ai.usage.{modality}.{kind}": count
        for counts, kind in ((into, "input_tokens"), (cached, "cache_read.input_tokens"), (out, "output_tokens"))
        if isinstance(counts, Mapping)
        for modality in _MODALITIES
        if (count := count_or_none(counts.get(f"{modality}_tokens")))
    }
    if counted:
        attributes[:] = [*(each for each in attributes if each[0] not in counted), *counted.items()]
