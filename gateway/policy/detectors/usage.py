"""How much somebody uses: requests, tokens, cost over a sliding window. One worker's count, bounded."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.contracts import Detector, Finding, Sight
from gateway.model import semconv as sc
from gateway.policy.detectors.known import DetectorConfig
from gateway.units import PositiveDuration

_REMEMBERED = 10_000
"""Users, sessions or keys, the least recently seen forgotten first: a flood of new ones forgets, it does not grow."""
_Limit = Annotated[float, Field(gt=0)]


class UsageConfig(DetectorConfig):
    """`detect: {…: {usage: …}}`: a finding on the inlet once a limit is passed."""

    by: Literal["session", "user", "key", "workspace"] = "key"
    window: PositiveDuration = 3_600.0
    requests: _Limit | None = None
    tokens: _Limit | None = None
    """Input and output of answers that have ended."""
    cost: _Limit | None = None
    """US dollars, as the `cost` processor has them, which must stand ahead of `policy`; without a price it is none."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.requests is None and self.tokens is None and self.cost is None:
            raise ValueError("limits nothing; give it requests, tokens or cost")
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

    def ended(self, sight: Sight) -> None:
        counted = self._of(sight)
        if counted is not None:
            counted[_NOW + 1] += _number(sight, "tokens.input") + _number(sight, "tokens.output")
            counted[_NOW + 2] += _number(sight, "cost")


def _number(sight: Sight, fact: str) -> float:
    found = sight.fact(fact)
    return float(found) if isinstance(found, int | float) else 0.0
