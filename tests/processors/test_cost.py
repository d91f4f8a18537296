"""A call's cost is worked out where both its usage and a price are known, and nowhere else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.model.exchange import Captured, Exchange
from gateway.model.message import RequestReading, ResponseReading, Usage
from gateway.pipeline import Pipeline
from gateway.processors.cost import CostConfig, CostProcessor, Price, cost_nusd
from gateway.providers.known import KnownMessageCache

FULL = Price(input=2.0, output=10.0, cache_read=0.2, cache_write=2.5, reasoning=20.0)
CHAT = Price(input=2.0, output=10.0)


@pytest.mark.parametrize(
    ("price", "usage", "usd"),
    [
        (CHAT, Usage("reported", 1_000_000, 0), 2.0),
        (CHAT, Usage("reported", 1000, 100), 0.003),
        (CHAT, Usage("reported", 1000, 100, 900, 50, 80), 0.003),
        (FULL, Usage("reported", 1000, 100, 900, 50, 80), (50 * 2 + 900 * 0.2 + 50 * 2.5 + 20 * 10 + 80 * 20) / 1e6),
        (FULL, Usage("reported", 100, 10, 900, None, 80), (900 * 0.2 + 80 * 20) / 1e6),
        (CHAT, Usage("reported", 0, 0), 0.0),
        (Price(input=0.02), Usage("reported", 50_000, None), 0.001),
        (Price(input=0.02), Usage("reported", 50_000, 0), 0.001),
        (Price(input=0.0, output=0.0), Usage("reported", 7, 7), 0.0),
    ],
    ids=[
        "a million",
        "both sides",
        "parts without prices of their own",
        "parts with prices",
        "parts that are more than the whole",
        "nothing",
        "embeddings",
        "embeddings that say 0",
        "free",
    ],
)
def test_tokens_cost_what_their_kind_costs(price: Price, usage: Usage, usd: float) -> None:
    cost = cost_nusd(price, usage)
    assert cost is not None
    assert cost / 1e9 == pytest.approx(usd, abs=1e-9)


@pytest.mark.parametrize(
    ("price", "usage"),
    [
        (CHAT, Usage("reported", None, 5)),
        (CHAT, Usage("reported", 5, None)),
        (Price(input=1.0), Usage("reported", 5, 5)),
        (Price(output=1.0), Usage("reported", 5, 5)),
        (CHAT, Usage("reported", 2**63, 0)),
    ],
    ids=["no input", "no output", "output without a price", "input without a price", "more than anybody has"],
)
def test_half_of_it_is_not_known(price: Price, usage: Usage) -> None:
    assert cost_nusd(price, usage) is None


@given(*[st.integers(0, 10**9)] * 5)
def test_a_cost_is_never_negative_and_grows_with_the_answer(
    into: int, out: int, read: int, written: int, reasoning: int
) -> None:
    cost = cost_nusd(FULL, Usage("reported", into, out, read, written, reasoning))
    more = cost_nusd(FULL, Usage("reported", into, out + 1, read, written, reasoning))
    assert cost is not None
    assert more is not None
    assert 0 <= cost <= more


def config(**prices: float) -> CostConfig:
    """Prices of input alone, by pattern; `__` is a slash, `_X` a star."""
    written = {name.replace("__", "/").replace("_X", "*"): {"input": price} for name, price in prices.items()}
    return CostConfig.model_validate({"prices": written})


def exchange(asked: str = "m", answered: str | None = None, provider: str = "p", state: Any = "reported") -> Exchange:
    ended = Exchange("e", 1, "POST", "/v1/x", [], Captured(0), b"t" * 16, b"s" * 8, provider=provider)
    ended.request, ended.response = RequestReading(model=asked), ResponseReading(model=answered)
    ended.response.usage = Usage(state, 1_000_000, 0)
    return ended


@pytest.mark.parametrize(
    ("prices", "asked", "answered", "provider", "usd"),
    [
        ({"m": 1.0}, "m", None, "p", 1.0),
        ({"m": 1.0, "m_X": 2.0}, "m-2026", None, "p", 2.0),
        ({"m_X": 2.0, "m": 1.0}, "m", None, "p", 2.0),
        ({"alias": 1.0, "m_X": 2.0}, "alias", "m-2026", "p", 2.0),
        ({"alias": 1.0}, "alias", "m-2026", "p", 1.0),
        ({"p__m": 1.0, "_X": 3.0}, "m", None, "p", 1.0),
        ({"p__m": 1.0, "_X": 3.0}, "m", None, "q", 3.0),
        ({"p__m": 1.0}, "p/m", None, "q", 1.0),
        ({"m": 1.0}, "M", None, "p", None),
        ({"_X": 1.0}, "", None, "p", None),
    ],
    ids=[
        "by name",
        "by pattern",
        "the first that fits",
        "what answered before what was asked for",
        "what was asked for",
        "at that provider",
        "at another",
        "a model that is called like that",
        "case counts",
        "no model at all",
    ],
)
def test_the_price_is_the_models(
    prices: dict[str, float], asked: str, answered: str | None, provider: str, usd: float | None
) -> None:
    ended = exchange(asked, answered, provider)
    processor = CostProcessor(config(**prices))
    processor.on_tail(ended)
    assert ended.cost_nusd == (None if usd is None else usd * 10**9)
    assert processor.counters() == ({} if usd is not None else {"without_price": 1})


@pytest.mark.parametrize("state", ["missing", "partial"])
def test_without_the_whole_usage_nothing_is_said(state: str) -> None:
    ended = exchange(state=state)
    CostProcessor(config(m=1.0)).on_tail(ended)
    assert ended.cost_nusd is None


def test_an_exchange_that_was_never_read_breaks_nothing() -> None:
    ended = exchange()
    ended.request = ended.response = None
    CostProcessor(config(m=1.0)).on_tail(ended)
    assert ended.cost_nusd is None


def test_models_are_remembered_within_bounds() -> None:
    processor = CostProcessor(config(_X=1.0))
    for number in range(3000):
        processor.on_tail(exchange(f"m{number}"))
    assert len(processor._found) <= 1000


def test_nobody_waits_for_it() -> None:
    pipeline = Pipeline([CostProcessor(config(m=1.0))], [], {}, KnownMessageCache())
    assert not pipeline.reads_inline
    assert (pipeline._on_request, pipeline._on_end, pipeline._on_span) == ([], [], [])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "prices"),
        ({"prices": {}}, "at least 1"),
        ({"prices": {"m": {}}}, "names no price"),
        ({"prices": {"m": {"cache_read": 1}}}, "names no price"),
        ({"prices": {"m": {"input": -1}}}, "greater than or equal to 0"),
        ({"prices": {"m": {"input": float("nan")}}}, "finite"),
        ({"prices": {"m": {"input": float("inf")}}}, "less than or equal|finite"),
        ({"prices": {"m": {"inputs": 1}}}, "inputs"),
    ],
)
def test_a_price_that_is_none_is_refused(written: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        CostConfig.model_validate(written)
