"""Runs the cases written in policy files, as the gateway would judge them. Prints nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import msgspec

from gateway.model.exchange import Captured, Exchange
from gateway.model.message import Entry, Message, Part, RequestReading, ResponseReading, Text, ToolCall
from gateway.model.session import SessionRef
from gateway.model.verdict import Direction, Outcome
from gateway.policy.case import Case
from gateway.policy.engine import PolicySet
from gateway.policy.load import Agent, load_agents
from gateway.policy.workspaces import own

DEFAULT_PATHS = ("policies/*.yaml",)
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
_SHOWN = 48
_CASES_NS = 1_800_000_000_000_000_000
"""When they happen, Unix time: the same for all, at the beginning of an hour, so that counts are of one window."""


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
    messages = [_entry(direction, case)] if case.say or case.calls else []
    # What was relayed before it was assessed cannot be taken back, and is not called blocked here either.
    released = direction == "response" and agent.rules.response == "after"
    got: Outcome = "allowed"
    for time in range(case.times):
        exchange = _exchange(agent, number, time, case, direction, messages)
        said = policies.assess(direction, messages, released=released, exchange=exchange, given=case.given)
        policies.ended(exchange, case.given)
        got = next((each.outcome for each in said if each.version == agent.version), "allowed")
    return CaseLine(agent.name, number, _shortened(_said(case)), case.expect, got)


def _exchange(
    agent: Agent, number: int, time: int, case: Case, direction: Direction, messages: list[Entry]
) -> Exchange:
    """One of a session and a caller that no other case has."""
    name = f"{agent.name}-{number}"
    exchange = Exchange(f"{name}-{time}", _CASES_NS + time, "POST", "/", [], Captured(0), bytes(16), bytes(8))
    # The only given fact that also says who judges.
    exchange.workspace = str(case.given.get("workspace") or next(iter(own(agent)), exchange.workspace))
    exchange.principal = name
    exchange.user = name
    exchange.session = SessionRef(name, "explicit", 1.0, time + 1)
    exchange.request = RequestReading()
    if direction == "response":
        exchange.response = ResponseReading()
        exchange.response.messages = messages
    else:
        exchange.request.messages = messages
    return exchange


def _entry(direction: Direction, case: Case) -> Entry:
    texts: list[Part] = [Text(case.say)] if case.say else []
    calls = [ToolCall(call.name, None, call.arguments) for call in case.calls]
    message = Message("assistant" if direction == "response" else "user", (*texts, *calls))
    json = msgspec.json.encode(message)
    read = [case.say, *(_text(call.arguments) for call in case.calls), *(call.name for call in case.calls)]
    return Entry(blake2b(json, digest_size=16).digest(), message.role, json, tuple(filter(None, read)))


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _said(case: Case) -> str:
    calls = " ".join(f"{call.name}({_text(call.arguments)})" for call in case.calls)
    return f"{case.say} {calls}".strip() + (f" ({case.times} times)" if case.times > 1 else "")


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
