"""When a failed batch is tried again, and when it is given up. Pure: the clock and the dice are handed in."""

from collections.abc import Callable
from typing import Self

from pydantic import Field, model_validator

from gateway.units import ConfigModel, Duration


class RetryConfig(ConfigModel):
    """`retry_on_failure`, with the Collector's names and defaults."""

    enabled: bool = True
    initial_interval: Duration = Field(default=5.0, gt=0)
    max_interval: Duration = Field(default=30.0, gt=0)
    max_elapsed_time: Duration = 300.0
    """After this a batch is dropped; 0 is never."""
    multiplier: float = Field(default=1.5, ge=1)
    randomization_factor: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _elapsed_covers_the_first_interval(self) -> Self:
        if 0 < self.max_elapsed_time < self.initial_interval:
            raise ValueError(
                "'max_elapsed_time' must not be less than 'initial_interval'; raise it, or write 0 for ever"
            )
        return self


class Backoff:
    """The retries of one batch, from the moment of its first attempt."""

    def __init__(self, config: RetryConfig, started_s: float, random: Callable[[], float]) -> None:
        self._config = config
        self._started_s = started_s
        self._random = random
        self._interval_s = config.initial_interval

    def delay_s(self, now_s: float, retry_after_s: float | None = None) -> float | None:
        """Seconds until the next attempt, never sooner than the server asked; None where there is none any more."""
        if not self._config.enabled:
            return None
        delay = max(self._jittered(), retry_after_s or 0.0)
        self._interval_s = min(self._interval_s * self._config.multiplier, self._config.max_interval)
        limit = self._config.max_elapsed_time
        if limit and now_s - self._started_s + delay > limit:
            return None
        return delay

    def _jittered(self) -> float:
        """Somewhere within ±factor: the gateways of a cluster must not come back all at once."""
        spread = self._config.randomization_factor * self._interval_s
        return self._interval_s - spread + 2 * spread * self._random()
