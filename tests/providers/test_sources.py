"""Where a format's source is cited, it can be looked up."""

import re
from collections import defaultdict
from pathlib import Path

PROVIDERS = Path(__file__).parents[2] / "gateway" / "providers"
SDKS = ("anthropic", "openai", "google-genai", "botocore", "cohere", "mistralai", "ollama")
_CITED = re.compile(rf"\b({'|'.join(SDKS)}) (\d+\.\d+)\b")


def test_one_version_of_each_sdk_is_cited() -> None:
    """Not that it is the installed one: who takes a newer one looks the formats up again, when there is something new."""
    cited: defaultdict[str, set[str]] = defaultdict(set)
    for file in PROVIDERS.glob("*.py"):
        for sdk, release in _CITED.findall(file.read_text()):
            cited[sdk].add(release)
    assert cited.keys() == set(SDKS)
    assert {sdk: releases for sdk, releases in cited.items() if len(releases) != 1} == {}
