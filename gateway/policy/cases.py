"""Runs the cases written in policy files, as the gateway would judge them. Prints nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import msgspec

from gateway.model.message import Entry, Message, Text
from gateway.model.verdict import Direction, Outcome
from gateway.policy.engine import PolicySet
from gateway.policy.load import Agent, load_agents
from gateway.policy.schema import Case

DEFAULT_PATHS = ("policies/*.yaml",)
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
_SHOWN = 48


@dataclass(frozen=True, slots=True)
class CaseLine:
    agent: str
    number: int
    """From 1, as the file lists them."""
    say: str
    """Shortened."""
    expected: Outcome
    got: Outcome

    @property
    def ok(self) -> bool:
        return self.expected == self.got


@dataclass(frozen=True, slots=True)
class CaseReport:
    lines: tuple[CaseLine, ...]

    @property
    def ok(self) -> bool:
        return all(line.ok for line in self.lines)


def run_cases(paths: Sequence[str] = DEFAULT_PATHS) -> CaseReport:
    """Every case of every agent in these files and globs. Raises `PolicyErrors`."""
    # A shadow's cases say what it would do: shadows exist to be tried.
    agents = [replace(a, rules=a.rules.model_copy(update={"shadow": False})) for a in load_agents(paths)]
    policies = PolicySet(agents)
    return CaseReport(
        tuple(
            _line(policies, agent, number, case)
            for agent in agents
            for number, case in enumerate(agent.rules.cases, start=1)
        )
    )


def _line(policies: PolicySet, agent: Agent, number: int, case: Case) -> CaseLine:
    direction = case.direction or agent.rules.directions[0]
    # A response is assessed after it was relayed: what cannot be taken back is not called blocked here either.
    assessments = policies.assess(direction, [_entry(direction, case.say)], released=direction == "response")
    got: Outcome = next((each.outcome for each in assessments if each.agent == agent.name), "allowed")
    return CaseLine(agent.name, number, _shortened(case.say), case.expect, got)


def _entry(direction: Direction, text: str) -> Entry:
    message = Message("assistant" if direction == "response" else "user", (Text(text),))
    json = msgspec.json.encode(message)
    return Entry(blake2b(json, digest_size=16).digest(), message.role, json, (text,))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def render(report: CaseReport, color: bool) -> str:
    """One line a case, then how many passed."""
    lines = [_rendered(line, color) for line in report.lines]
    passed = sum(line.ok for line in report.lines)
    return "\n".join([*lines, f"{passed} of {len(report.lines)} cases passed"])


def _rendered(line: CaseLine, color: bool) -> str:
    mark = "ok  " if line.ok else "FAIL"
    if color:
        mark = f"{_GREEN if line.ok else _RED}{mark}{_PLAIN}"
    got = line.got if line.ok else f"expected {line.expected}, got {line.got}"
    return f"{mark} {line.agent} #{line.number} {got}: {line.say}"
