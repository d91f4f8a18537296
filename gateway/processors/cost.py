"""What a call cost, by the prices that the operator wrote down. Knows none itself: they change, and differ by contract.

A price is for a million tokens. Whatever has another price (tiers, batches, images, tools) is not known here.
"""

from collections import Counter
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field, model_validator

from gateway.contracts import Processor
from gateway.model.exchange import Exchange
from gateway.model.message import Usage
from gateway.units import ConfigModel

Rate = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
"""US dollars for a million tokens."""

_REMEMBERED = 1000
_MOST_NUSD = 1 << 60
"""More than that, a billion dollars, no call costs: somebody lied about tokens."""


class Price(ConfigModel):
    """Kinds of tokens that are left out have no price of their own."""

    input: Rate | None = None
    output: Rate | None = None
    cache_read: Rate | None = None
    """Left out: as `input`, which these tokens are among; so are those that are written."""
    cache_write: Rate | None = None
    reasoning: Rate | None = None
    """Left out: as `output`, which these tokens are among."""

    @model_validator(mode="after")
    def _of_something(self) -> "Price":
        if self.input is None and self.output is None:
            raise ValueError("names no price; write input, output or both, in US dollars for a million tokens")
        return self


class CostConfig(ConfigModel):
    prices: dict[str, Price] = Field(min_length=1)
    """By shell patterns of a model, as in `gpt-5*`, or of `provider/model`, the provider as it is called in the
    configuration. The first that fits counts: the model that answered, else the one that was asked for."""


class CostProcessor(Processor):
    """Works on the tail, where the usage is known. Where prices are missing, or usage is, it says nothing."""

    needs_reading = False

    def __init__(self, config: CostConfig) -> None:
        self._prices = [*config.prices.items()]
        self._found: dict[tuple[str, str, str], Price | None] = {}
        self._counters: Counter[str] = Counter()

    def on_tail(self, exchange: Exchange) -> None:
        response = exchange.response
        if response is None or exchange.cost_nusd is not None or response.usage.state != "reported":
            return
        asked = exchange.request.model if exchange.request is not None else ""
        price = self._price(exchange.provider, response.model or "", asked)
        if price is None:
            self._counters["without_price"] += 1
            return
        exchange.cost_nusd = cost_nusd(price, response.usage)

    def counters(self) -> dict[str, int]:
        """`without_price`: calls whose usage is known and whose model has no price."""
        return dict(self._counters)

    def _price(self, provider: str, answered: str, asked: str) -> Price | None:
        key = (provider, answered, asked)
        if key not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[key] = self._look_up(provider, answered) or self._look_up(provider, asked)
        return self._found[key]

    def _look_up(self, provider: str, model: str) -> Price | None:
        if not model:
            return None
        names = (model, f"{provider}/{model}")
        return next(
            (price for pattern, price in self._prices if any(fnmatchcase(name, pattern) for name in names)), None
        )


def cost_nusd(price: Price, usage: Usage) -> int | None:
    """In billionths of a US dollar, as whole numbers add up to the same in every order. None: it is not known."""
    _, into, out, read, written, reasoning = usage
    sides = (
        _side(into, price.input, ((read, price.cache_read), (written, price.cache_write))),
        _side(out, price.output, ((reasoning, price.reasoning),)),
    )
    if sides[0] is None or sides[1] is None:
        return None
    cost = round((sides[0] + sides[1]) * 1000)
    return cost if cost < _MOST_NUSD else None


def _side(tokens: int | None, rate: float | None, among: tuple[tuple[int | None, float | None], ...]) -> float | None:
    """Millionths of a dollar. A price needs a count, a count a price; a part of the tokens may have its own."""
    if rate is None:
        return None if tokens else 0.0
    if tokens is None:
        return None
    cost = 0.0
    rest = tokens
    for part, own in among:
        if part and own is not None:
            cost += part * own
            rest -= part
    return cost + max(0, rest) * rate
