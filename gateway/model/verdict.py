"""What detectors saw, what one agent says, and what they say together."""

from typing import Literal

import msgspec

Intent = Literal["allow", "flag", "redact", "escalate", "block"]
Outcome = Literal["allowed", "flagged", "redacted", "escalated", "blocked"]
AgentRole = Literal["observer", "enforcer"]
Direction = Literal["inlet", "response", "signal"]
Risk = Literal["low", "medium", "high", "critical"]
AssessmentState = Literal["evaluated", "skipped", "timed_out", "failed_open", "failed_closed", "bypassed"]

INTENTS: tuple[Intent, ...] = ("allow", "flag", "redact", "escalate", "block")
OUTCOMES: tuple[Outcome, ...] = ("allowed", "flagged", "redacted", "escalated", "blocked")
"""Mildest first; the strictest wins."""


class Assessment(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What one agent says about one direction of one exchange: the same to policy, link, store, console and API."""

    agent: str
    version: str
    """Hash of the policy file's content."""
    role: AgentRole
    direction: Direction
    intent: Intent
    outcome: Outcome
    """What the intent comes to under the role, before the strictest wins."""
    state: AssessmentState = "evaluated"
    reason: str = ""
    """Which categories and detectors, with counts. Never matched text."""
    risk: Risk = "low"
    confidence: float = 1.0
    message: str = ""
    """What the refused user reads, from the policy file."""
    took_ms: float = 0.0
    released_bytes: int | None = None
    """Of the answer's body, that had gone to the client when it was blocked; None where nothing was cut off."""
    categories: tuple[str, ...] = ()
    """Those of what was found, as the policy file names them."""
    tags: tuple[str, ...] = ()


class Verdict(msgspec.Struct, gc=False):
    """All assessments so far and the strictest outcome among them."""

    outcome: Outcome = "allowed"
    assessments: list[Assessment] = []

    def add(self, assessment: Assessment) -> None:
        self.assessments.append(assessment)
        if assessment.outcome != self.outcome and OUTCOMES.index(assessment.outcome) > OUTCOMES.index(self.outcome):
            self.outcome = assessment.outcome

    @property
    def blocked(self) -> bool:
        return self.outcome == "blocked"

    @property
    def decisive(self) -> Assessment | None:
        """The first assessment that has the verdict's outcome."""
        return next((a for a in self.assessments if a.outcome == self.outcome), None)
