"""The tests that an agent brings with it, as policy files write them. `cases` runs them."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.model.verdict import Direction, Outcome
from gateway.policy.conditions import fits
from gateway.policy.facts import FACTS
from gateway.policy.problems import suggestion
from gateway.units import ConfigModel


class CalledTool(ConfigModel):
    """A tool call that a case has made."""

    name: str = Field(min_length=1)
    arguments: Any = Field(default_factory=dict)


def _given(written: dict[str, Any]) -> dict[str, Any]:
    for name, value in written.items():
        if name not in FACTS:
            raise ValueError(f"{name} is no fact; {suggestion(name, FACTS)}")
        if not fits(FACTS[name].kind, value):
            raise ValueError(f"{name} is not of its kind ({FACTS[name].kind}); see docs/policies.md")
    return written


class Case(ConfigModel):
    """A test that the agent brings with it."""

    say: str = ""
    expect: Outcome
    direction: Direction | None = None
    """Left out: the first of the agent's directions."""
    calls: tuple[CalledTool, ...] = ()
    """Tool calls of the message that says it."""
    given: Annotated[dict[str, Any], AfterValidator(_given)] = Field(default_factory=dict)
    """Facts by name, as `when` has them: `{model: gpt-5, session.findings: {credentials: 1}}`."""
    times: Annotated[int, Field(ge=1, le=1_000)] = 1
    """How often it happens, in one session of one user; what is expected is the last one's."""
