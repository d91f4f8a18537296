"""When a batch is tried again: the Collector's rules, with the clock and the dice in hand."""

import pytest
from pydantic import ValidationError

from gateway.exporters.retry import Backoff, RetryConfig


def config(**written: object) -> RetryConfig:
    return RetryConfig.model_validate(written)


def test_delays_grow_to_a_ceiling() -> None:
    backoff = Backoff(config(initial_interval="5s", max_interval="10s"), 0.0, lambda: 0.5)
    assert [backoff.delay_s(0.0) for _ in range(4)] == [5.0, 7.5, 10.0, 10.0]


@pytest.mark.parametrize(("dice", "delay"), [(0.0, 2.5), (0.5, 5.0), (1.0, 7.5)])
def test_jitter_spreads_both_ways(dice: float, delay: float) -> None:
    assert Backoff(config(), 0.0, lambda: dice).delay_s(0.0) == delay


@pytest.mark.parametrize(("asked", "delay"), [(None, 5.0), (1.0, 5.0), (60.0, 60.0)])
def test_never_sooner_than_the_server_asked(asked: float | None, delay: float) -> None:
    assert Backoff(config(), 0.0, lambda: 0.5).delay_s(0.0, asked) == delay


@pytest.mark.parametrize(
    ("now", "asked", "goes_on"), [(295.0, None, True), (295.1, None, False), (0.0, 301.0, False), (294.0, 6.0, True)]
)
def test_gives_up_rather_than_pass_the_elapsed_limit(now: float, asked: float | None, goes_on: bool) -> None:
    assert (Backoff(config(), 0.0, lambda: 0.5).delay_s(now, asked) is not None) == goes_on


def test_zero_is_for_ever() -> None:
    assert Backoff(config(max_elapsed_time=0), 0.0, lambda: 0.5).delay_s(1e9) == 5.0


def test_switched_off_never_retries() -> None:
    assert Backoff(config(enabled=False), 0.0, lambda: 0.5).delay_s(0.0) is None


@pytest.mark.parametrize(
    "written", [{"max_elapsed_time": "1s"}, {"initial_interval": 0}, {"randomization_factor": 1.5}, {"multiplier": 0.5}]
)
def test_nonsense_is_refused_at_start(written: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        config(**written)
