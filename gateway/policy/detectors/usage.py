"""How much somebody uses: requests, tokens, cost over a sliding window. One worker's count, bounded."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.contracts import Detector, Finding, Sight
from gateway.model import semconv as sc
from gateway.policy.detectors.globs import Names
from gateway.policy.detectors.known import DetectorConfig
from gateway.units import ConfigModel, PositiveDuration

_REMEMBERED = 10_000
"""Users, sessions or keys, the least recently seen forgotten first: a flood of new ones forgets, it does not grow."""
_MILLION = 1_000_000
_Limit = Annotated[float, Field(gt=0)]


class Price(ConfigModel):
    """For a million tokens, in whatever currency `cost` is in."""

    input: float = Field(default=0.0, ge=0)
    output: float = Field(default=0.0, ge=0)
    cached: float | None = Field(default=None, ge=0)
    """Of input read from the provider's cache; left out: as other input."""


class UsageConfig(DetectorConfig):
    """`detect: {…: {usage: …}}`: a finding on the inlet once a limit is passed."""

    by: Literal["session", "user", "key", "workspace"] = "key"
    window: PositiveDuration = 3_600.0
    requests: _Limit | None = None
    tokens: _Limit | None = None
    """Input and output of answers that have ended."""
    cost: _Limit | None = None
    prices: dict[str, Price] = Field(default={}, max_length=1_000)
    """By model, `*` for anything; the first that fits. A model without a price costs nothing."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.requests is None and self.tokens is None and self.cost is None:
            raise ValueError("limits nothing; give it requests, tokens or cost")
        if self.cost is not None and not self.prices:
            raise ValueError("cannot tell a cost without prices; add prices: {'*': {input: 1.25, output: 10}}")
        return self

    def detector(self, instructions: str) -> Detector:
        return RequestCounts(self) if self.tokens is None and self.cost is None else UsageCounts(self)


_Counted = list[float]
"""The window's number; requests, tokens and cost in it; the same of the window before. Windows are fixed in time: what
slides is the share of the earlier one. A list, because most callers are new and it is made for each."""
_NOW, _BEFORE = 1, 4


class RequestCounts(Detector):
    def __init__(self, config: UsageConfig) -> None:
        self._by = config.by
        self._fact = {"session": sc.SESSION_ID, "user": "user"}.get(config.by, "")
        self._window_ns = int(config.window * 1e9)
        limits = (("usage:requests", config.requests), ("usage:tokens", config.tokens), ("usage:cost", config.cost))
        self._limits = [(index, Finding(name), limit) for index, (name, limit) in enumerate(limits) if limit]
        self._counted: OrderedDict[tuple[str, str], _Counted] = OrderedDict()
        self._forgotten = 0

    def findings(self, sight: Sight) -> Sequence[Finding]:
        if sight.direction != "inlet":
            return ()
        counted = self._of(sight)
        if counted is None:
            return ()
        counted[_NOW] += 1
        share = 1 - sight.exchange.started_ns % self._window_ns / self._window_ns
        return [
            finding
            for index, finding, limit in self._limits
            if counted[_BEFORE + index] * share + counted[_NOW + index] > limit
        ]

    def counters(self) -> dict[str, int]:
        """`callers_forgotten`."""
        return {"callers_forgotten": self._forgotten} if self._forgotten else {}

    def _of(self, sight: Sight) -> _Counted | None:
        """None where it is nobody's: an unknown user is not one who can be counted."""
        exchange = sight.exchange
        who = str(sight.fact(self._fact)) if self._fact else exchange.principal if self._by == "key" else "all"
        if not who:
            return None
        key = (exchange.workspace, who)
        window = exchange.started_ns // self._window_ns
        counted = self._counted.get(key)
        if counted is None:
            if len(self._counted) >= _REMEMBERED:
                self._counted.popitem(last=False)
                self._forgotten += 1
            counted = self._counted[key] = [window, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
            return counted
        self._counted.move_to_end(key)
        if window > counted[0]:  # a clock that goes back counts on in the window that it was in
            before = counted[_NOW:_BEFORE] if window == counted[0] + 1 else [0.0, 0.0, 0.0]
            counted[:] = [window, 0.0, 0.0, 0.0, *before]
        return counted


class UsageCounts(RequestCounts):
    """The same, and what was used."""

    def __init__(self, config: UsageConfig) -> None:
        super().__init__(config)
        self._prices = [(Names([model]), price) for model, price in config.prices.items()]
        self._price_of: dict[str, Price | None] = {}

    def ended(self, sight: Sight) -> None:
        counted = self._of(sight)
        if counted is None:
            return
        used_input, used_output = _number(sight, "tokens.input"), _number(sight, "tokens.output")
        counted[_NOW + 1] += used_input + used_output
        if self._prices:
            counted[_NOW + 2] += self._cost(sight, used_input, used_output)

    def _cost(self, sight: Sight, used_input: float, used_output: float) -> float:
        price = self._price(str(sight.fact("response.model") or sight.fact("model")))
        if price is None:
            return 0.0
        response = sight.exchange.response
        cached = (response.usage.cache_read_tokens or 0) if response is not None and price.cached is not None else 0
        full = max(0.0, used_input - cached) * price.input + cached * (price.cached or 0.0)
        return (full + used_output * price.output) / _MILLION

    def _price(self, model: str) -> Price | None:
        if model not in self._price_of:
            if len(self._price_of) >= _REMEMBERED:
                self._price_of.clear()
            self._price_of[model] = next((price for names, price in self._prices if model in names), None)
        return self._price_of[model]


def _number(sight: Sight, fact: str) -> float:
    found = sight.fact(fact)
    return float(found) if isinstance(found, int | float) else 0.0
