"""The corpus of disguises, each through the real reader of an API's request or answer. `python -m bench.evasion` prints it."""

from pathlib import Path

import pytest

from bench.evasion import Variant, caught, guard, variants
from gateway.policy.engine import PolicySet

CORPUS = Path(__file__).parents[1] / "data" / "policy" / "evasion.yaml"
MISSED = frozenset({"spacing-32", "spacing-34", "homoglyph-37"})
"""What is known to get through. Whoever mends one takes it out of here."""
REACH = 0.98
TECHNIQUES = frozenset(
    {"case", "spacing", "zero-width", "homoglyph", "base64", "parts", "messages", "arguments", "result", "events"}
)


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    return guard()


def test_the_corpus_is_large_and_varied() -> None:
    corpus = variants(CORPUS)
    assert len({variant.id for variant in corpus}) == len(corpus) >= 200
    assert len({f"{variant.how} {variant.says}" for variant in corpus}) == len(corpus)
    assert {variant.technique for variant in corpus} >= TECHNIQUES


@pytest.mark.parametrize("variant", variants(CORPUS), ids=lambda variant: variant.id)
def test_a_disguise_is_seen_through(policies: PolicySet, variant: Variant) -> None:
    assert caught(policies, variant) == (variant.id not in MISSED)


def test_enough_are_seen_through() -> None:
    assert 1 - len(MISSED) / len(variants(CORPUS)) >= REACH


@pytest.mark.parametrize("how", ["text", "parts", "messages", "arguments", "result", "events", "argument_events"])
def test_the_same_ways_let_innocent_words_pass(policies: PolicySet, how: str) -> None:
    """The guard does not block whatever comes: each way is tried with words that nobody blocks."""
    words: dict[str, object] = {
        "text": "an owl",
        "result": "an owl",
        "arguments": {"q": "an owl"},
        "argument_events": ['{"q": "an ', 'owl"}'],
    }
    assert not caught(policies, Variant("x", "innocent", how, words.get(how, ["an o", "wl sings"])))
