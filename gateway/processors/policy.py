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
from gateway.policy.load import load_agents
from gateway.units import ConfigModel, PositiveDuration


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


def policies_of(config: PolicyConfig) -> PolicySet:
    """The agents of a configuration, compiled. Raises `PolicyErrors`."""
    return PolicySet(load_agents(config.files), config.on_error, config.timeout)


class PolicyProcessor(Processor):
    def __init__(self, config: PolicyConfig, policies: PolicySet) -> None:
        self.needs_reading = policies.asked("inlet", "inline")
        self._asked_later = policies.asked("inlet", "tail")
        self._asked_back = policies.asked("response")
        self._config = config
        self._policies = policies
        self._counters: Counter[str] = Counter()

    def on_request(self, exchange: Exchange) -> None:
        """Enforcers, while the client waits. Linear and in memory, so nothing is awaited."""
        if not self.needs_reading:
            return
        self._add(exchange, self._inlet(exchange, "inline", timed=True))
        verdict = exchange.verdict
        if verdict.blocked and verdict.decisive is not None:
            exchange.refusal = _refusal(verdict.decisive)
            self._counters["blocked"] += 1

    def on_tail(self, exchange: Exchange) -> None:
        """Observers and shadows on the request, everybody on the response."""
        said: list[Assessment] = []
        if self.needs_reading and not any(each.direction == "inlet" for each in exchange.verdict.assessments):
            # Never asked in line: a passive exchange, or refused before it was our turn.
            said += self._inlet(exchange, "inline", released=True)
        if self._asked_later:
            said += self._inlet(exchange, "tail", released=True)
        if self._asked_back and exchange.response is not None and exchange.refusal is None:
            said += self._response(exchange.response)
        self._add(exchange, said)

    def counters(self) -> dict[str, int]:
        """`assessed`, `flagged`, `escalated`, `blocked`, `incomplete`, `failures`, `detector_failures` …"""
        return {**self._counters, **self._policies.counters}

    def _inlet(self, exchange: Exchange, part: Part, timed: bool = False, released: bool = False) -> list[Assessment]:
        reading = exchange.request
        if not exchange.request_body.size and (reading is None or not reading.messages):
            return self._policies.skipped("inlet", part, "the request has no body")
        if reading is not None and reading.state == "off":
            return self._policies.skipped("inlet", part, "content is not captured")
        if reading is None:
            return self._assessed("inlet", (), part, self._gap(None), timed, released)
        entries = reading.messages
        if reading.system or reading.definitions:
            entries = [*reading.system, *reading.definitions, *entries]
        gap = None if reading.state == "full" else self._gap(reading)
        return self._assessed("inlet", entries, part, gap, timed, released)

    def _response(self, reading: ResponseReading) -> list[Assessment]:
        if reading.state == "off":
            return self._policies.skipped("response", "all", "content is not captured")
        gap = None if reading.state == "full" else self._gap(reading)
        return self._assessed("response", reading.messages, "all", gap, False, True)

    def _assessed(
        self, direction: Direction, entries: Sequence[Entry], part: Part, gap: Gap | None, timed: bool, released: bool
    ) -> list[Assessment]:
        try:
            return self._policies.assess(direction, entries, part, gap=gap, timed=timed, released=released)
        except Exception:  # `on_error` decides what our own mistake means, not the pipeline: counted, state on the span
            self._counters["failures"] += 1
            return self._policies.failed(direction, part, released)

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
            if assessment.outcome != "allowed" or assessment.state != "evaluated":
                break
        else:
            # As nearly always: what everybody allows changes no outcome, no counter.
            exchange.verdict.assessments += assessments
            return
        for assessment in assessments:
            exchange.verdict.add(assessment)
            if assessment.outcome in ("flagged", "escalated"):
                self._counters[assessment.outcome] += 1
            if assessment.state in ("timed_out", "failed_open", "failed_closed"):
                self._counters["incomplete"] += 1


def _refusal(decisive: Assessment) -> Refusal:
    said = f" {decisive.message}" if decisive.message else ""
    return Refusal(403, "blocked_by_policy", f"Blocked by policy agent {decisive.agent}: {decisive.reason}.{said}")
