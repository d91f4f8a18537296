"""Lets the policy agents see an exchange: enforcers in line, the others on the tail. Holds back no response (yet).

It refuses a request, never a response: that is assessed after it was relayed, and an enforcer's block there comes to
`flagged`, its state `bypassed`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from gateway.contracts import Processor
from gateway.model.exchange import Exchange, Refusal
from gateway.model.message import Entry, RequestReading, ResponseReading
from gateway.model.verdict import Assessment, Direction
from gateway.policy.engine import Part, PolicySet
from gateway.policy.judging import Gap
from gateway.policy.load import Agent, PolicyErrors, load_agents
from gateway.policy.workspaces import Workspaces, problems
from gateway.units import ConfigModel, PositiveDuration

_INCOMPLETE = frozenset({"timed_out", "failed_open", "failed_closed"})


class PolicyConfig(ConfigModel):
    """`processors.policy`."""

    files: tuple[str, ...] = ()
    """Paths and globs."""
    on_error: Literal["allow", "block"] = "allow"
    """When a detector fails or time runs out; an agent's own `on_error` comes first."""
    unreadable: Literal["allow", "block"] = "allow"
    """A body that is not what its API's should be. Of an API that nobody here knows none is expected."""
    oversize: Literal["allow", "block"] = "allow"
    timeout: PositiveDuration = 0.2
    """How long a client waits for an agent that has no `timeout` of its own."""


def policies_of(
    config: PolicyConfig, workspaces: Workspaces | None = None, before: PolicySet | None = None
) -> PolicySet:
    """The agents of a configuration, compiled. Raises `PolicyErrors`. `before`: the set that they replace."""
    agents = agents_of(config, workspaces or {})
    return PolicySet(agents, config.on_error, config.timeout, workspaces=workspaces, before=before)


def agents_of(config: PolicyConfig, workspaces: Workspaces) -> list[Agent]:
    """Raises `PolicyErrors`, also of agents that do not fit together in a workspace."""
    agents = load_agents(config.files)
    if lines := list(problems(agents, workspaces)):
        raise PolicyErrors(lines)
    return agents


class PolicyProcessor(Processor):
    def __init__(self, config: PolicyConfig, policies: PolicySet) -> None:
        self._config = config
        self._counters: Counter[str] = Counter()
        self.take(policies)

    def take(self, policies: PolicySet) -> None:
        """From now on these judge; an exchange that others have judged in line stays theirs."""
        self._policies = policies
        self.needs_reading = policies.inline

    def on_request(self, exchange: Exchange) -> None:
        """Enforcers, while the client waits. Linear and in memory, so nothing is awaited."""
        if not self.needs_reading:
            return
        exchange.judges = self._policies
        self._add(exchange, self._inlet(exchange, self._policies, "inline", timed=True))
        verdict = exchange.verdict
        if verdict.blocked and verdict.decisive is not None:
            exchange.refusal = _refusal(verdict.decisive)
            self._counters["blocked"] += 1

    def on_tail(self, exchange: Exchange) -> None:
        """Observers and shadows on the request, everybody on the response."""
        policies: PolicySet = exchange.judges or self._policies
        said: list[Assessment] = []
        if policies.inline and not any(each.direction == "inlet" for each in exchange.verdict.assessments):
            # Never asked in line: a passive exchange, or refused before it was our turn.
            said += self._inlet(exchange, policies, "inline", released=True)
        if policies.later:
            said += self._inlet(exchange, policies, "tail", released=True)
        if policies.back and exchange.response is not None and exchange.refusal is None:
            said += self._response(exchange, policies, exchange.response)
        self._add(exchange, said)
        if policies.learns:
            policies.ended(exchange)

    def counters(self) -> dict[str, int]:
        """`assessed`, `flagged`, `escalated`, `blocked`, `incomplete`, `failures`, `detector_failures` …"""
        return {**self._counters, **self._policies.counted()}

    def _inlet(
        self, exchange: Exchange, policies: PolicySet, part: Part, timed: bool = False, released: bool = False
    ) -> list[Assessment]:
        reading = exchange.request
        why = ""
        if not exchange.request_body.size and (reading is None or not reading.messages):
            why = "the request has no body"
        elif reading is not None and reading.state == "off":
            why = "content is not captured"
        if why:
            return policies.skipped("inlet", part, why, timed=timed, released=released, exchange=exchange)
        if reading is None:
            return self._assessed(exchange, policies, "inlet", (), part, self._gap(None), timed, released)
        entries = reading.messages
        if reading.system or reading.definitions:
            entries = [*reading.system, *reading.definitions, *entries]
        gap = None if reading.state == "full" else self._gap(reading)
        return self._assessed(exchange, policies, "inlet", entries, part, gap, timed, released)

    def _response(self, exchange: Exchange, policies: PolicySet, reading: ResponseReading) -> list[Assessment]:
        if reading.state == "off":
            return policies.skipped("response", "all", "content is not captured", released=True, exchange=exchange)
        gap = None if reading.state == "full" else self._gap(reading)
        return self._assessed(exchange, policies, "response", reading.messages, "all", gap, False, True)

    def _assessed(
        self,
        exchange: Exchange,
        policies: PolicySet,
        direction: Direction,
        entries: Sequence[Entry],
        part: Part,
        gap: Gap | None,
        timed: bool,
        released: bool,
    ) -> list[Assessment]:
        try:
            return policies.assess(direction, entries, part, gap=gap, timed=timed, released=released, exchange=exchange)
        except Exception:  # `on_error` decides what our own mistake means, not the pipeline: counted, state on the span
            self._counters["failures"] += 1
            return policies.failed(direction, part, released, exchange)

    def _gap(self, reading: RequestReading | ResponseReading | None) -> Gap | None:
        if reading is None:
            return Gap("the request was not read", self._config.unreadable == "block")
        if reading.state == "unreadable":
            return Gap("it could not be read; its raw text was assessed", self._config.unreadable == "block")
        if reading.state == "truncated":
            return Gap("it is too large; what was captured was assessed", self._config.oversize == "block")
        return None

    def _add(self, exchange: Exchange, assessments: Sequence[Assessment]) -> None:
        self._counters["assessed"] += len(assessments)
        for assessment in assessments:
            if assessment.outcome != "allowed" or assessment.state in _INCOMPLETE:
                break
        else:
            # As nearly always: what everybody allows changes no outcome, no counter.
            exchange.verdict.assessments += assessments
            return
        for assessment in assessments:
            exchange.verdict.add(assessment)
            if assessment.outcome in ("flagged", "escalated"):
                self._counters[assessment.outcome] += 1
            if assessment.state in _INCOMPLETE:
                self._counters["incomplete"] += 1


def _refusal(decisive: Assessment) -> Refusal:
    said = f" {decisive.message}" if decisive.message else ""
    return Refusal(403, "blocked_by_policy", f"Blocked by policy agent {decisive.agent}: {decisive.reason}.{said}")
