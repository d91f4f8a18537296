"""data-protector as it ships on prompts that hold nothing to protect."""

import pytest

from bench.false_alarms import AGENT, PROMPTS, TEMPLATES, alarms_of, prompts
from gateway.model.message import Message, Text
from gateway.policy.engine import PolicySet
from gateway.policy.load import load_agents
from gateway.providers.known import entry_of


def test_prompts_are_many_and_of_many_kinds() -> None:
    made = [prompt for _, prompt in prompts(1)]
    assert len(made) == PROMPTS == 2_000
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 60
    assert len(set(made)) > 0.9 * len(made)
    assert [prompt for _, prompt in prompts(1)] == made
    assert [prompt for _, prompt in prompts(2)] != made


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hardly_any_raises_an_alarm(seed: int) -> None:
    alarms = alarms_of(seed)
    assert len(alarms) <= 0.005 * PROMPTS, alarms


def test_the_same_prompts_with_something_to_protect_do() -> None:
    """It is not silence that is measured: a card in any of them is seen."""
    policies = PolicySet(load_agents([AGENT]), sensitive=())
    missed = []
    for template, prompt in [*prompts(1)][: len(TEMPLATES)]:
        [assessment] = policies.assess(
            "inlet", [entry_of(Message("user", (Text(f"{prompt}\n4111 1111 1111 1111\n"),)))]
        )
        missed += [] if assessment.outcome == "flagged" else [template]
    assert missed == []
