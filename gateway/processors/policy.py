"""Lets the policy agents see an exchange: enforcers in line, the others on the tail.

A request is seen before it goes on; an answer before the client gets it where an enforcer says so (`response: hold` or
`window`). Elsewhere a block of an answer comes to `flagged`, its state `bypassed`.
"""

from collections import Counter
from collections.abc import Awaitable, Sequence
from time import perf_counter_ns
from typing import Literal

from msgspec.structs import replace

from gateway.contracts import Gate, Processor, Reads
from gateway.model.exchange import Exchange, Refusal
from gateway.model.message import Entry, RequestReading, ResponseReading
from gateway.model.verdict import Assessment, Direction
from gateway.policy.body_redaction import redacted_body
from gateway.policy.engine import Found, Part, PolicySet
from gateway.policy.judging import RELAYED, Gap
from gateway.policy.load import Agent, PolicyErrors, load_agents
from gateway.policy.workspaces import Workspaces, problems
from gateway.processors.gate import AnswerGate
from gateway.providers.content import decode
from gateway.review.asking import refusal_after, review_of, reviewed
from gateway.review.desk import ReviewDesk
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
    """Also the gates' `Judge`."""

    def __init__(self, config: PolicyConfig, policies: PolicySet, desk: ReviewDesk | None = None) -> None:
        """`desk`: where exchanges wait for people; without one nobody ever decides."""
        self._desk = desk
        self._config = config
        self._counters: Counter[str] = Counter()
        self.blocks_oversize = config.oversize == "block"
        self.take(policies)

    def take(self, policies: PolicySet) -> None:
        """From now on these judge; an exchange that others have judged in line stays theirs."""
        self._policies = policies
        self.needs_reading = policies.inline or policies.beside
        self.needs_answer = policies.holds
        self.gates = policies.gates

    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        """Enforcers, while the client waits. Linear and in memory, so nothing is awaited but people."""
        if not self.needs_reading:
            return None
        policies = exchange.judges = self._judges(exchange)
        self._add(exchange, self._inlet(exchange, policies, "inline", timed=True))
        if exchange.connection is not None:
            self._on_socket(exchange)
        verdict = exchange.verdict
        if verdict.blocked and verdict.decisive is not None:
            exchange.refusal = self._refused(verdict.decisive)
        elif verdict.outcome == "escalated" and (asking := self._asking(exchange, "inlet")) is not None:
            return self._held(exchange, asking)
        return None

    async def _held(self, exchange: Exchange, asking: Assessment) -> None:
        exchange.refusal = await self.reviewed(exchange, asking)

    def _asking(self, exchange: Exchange, direction: Direction) -> Assessment | None:
        said = [each for each in exchange.verdict.assessments if each.direction == direction]
        return next((each for each in said if self._judges(exchange).holds_for(exchange, each) is not None), None)

    def _on_socket(self, exchange: Exchange) -> None:
        """What is said on a WebSocket has nothing beside it, and cannot be changed."""
        policies = self._judges(exchange)
        if policies.beside:
            self._add(exchange, self._inlet(exchange, policies, "beside", timed=True))
        if self.wants_out(exchange, "inlet") and not exchange.verdict.blocked:
            self._not_taken_out(exchange)

    def gate(self, exchange: Exchange, reads: Reads) -> Gate | None:
        exchange.judges = self._policies
        return AnswerGate(exchange, self, reads)

    def holding(self, exchange: Exchange) -> Literal["after", "window", "hold"]:
        return self._judges(exchange).holding(exchange)

    def on_tail(self, exchange: Exchange) -> None:
        """Observers and shadows on the request; on the response everybody who has not spoken."""
        policies = self._judges(exchange)
        said: list[Assessment] = []
        if policies.inline and not any(each.direction == "inlet" for each in exchange.verdict.assessments):
            # Never asked in line: a passive exchange, or refused before it was our turn.
            said += self._inlet(exchange, policies, "inline", released=True)
            if policies.beside:
                said += self._inlet(exchange, policies, "beside", released=True)
        if policies.later:
            said += self._inlet(exchange, policies, "tail", released=True)
        if policies.back and exchange.response is not None:
            if policies.gates:
                said += self._response_later(exchange, policies, exchange.response)
            else:
                said += self._response(exchange, policies, exchange.response, "all", released=True)
        self._add(exchange, said)
        if policies.learns:
            policies.ended(exchange)

    # Judge

    def redacted_request(self, exchange: Exchange, reads: Reads) -> bytes | Refusal:
        body = exchange.request_body
        coding = exchange.header_map.get(b"content-encoding", b"identity").decode("latin-1")
        decoded = decode(body.joined(), coding, body.limit)
        if decoded.state == "full" and not body.truncated:
            changed = redacted_body(decoded.data, lambda text: self.redacted_in(exchange, "inlet", text))
            reading = reads.other_request(exchange, changed)
            policies = self._judges(exchange)
            left = policies.assess("inlet", _entries(reading), "inline", exchange=exchange)
            if not any(policies.wants_out(each) for each in left):
                return changed
        return self._refused(self._not_taken_out(exchange))

    def _not_taken_out(self, exchange: Exchange) -> Assessment:
        wants_out = self._judges(exchange).wants_out
        asking = next(each for each in exchange.verdict.assessments if wants_out(each))
        kept = replace(asking, intent="block", outcome="blocked", reason=f"{asking.reason}; it could not be taken out")
        self._add(exchange, [kept])
        return kept

    def beside(self, exchange: Exchange) -> Refusal | None:
        policies = self._judges(exchange)
        if not policies.beside:
            return None
        said = self._inlet(exchange, policies, "beside", timed=True)
        self._add(exchange, said)
        return self._refusal_among(said)

    def is_clean(self, exchange: Exchange, reading: ResponseReading) -> bool:
        policies = self._judges(exchange)
        said = policies.assess("response", reading.messages, "inline", exchange=exchange)
        return not any(policies.wants_out(each) for each in said)

    def wants_out(self, exchange: Exchange, direction: Direction) -> bool:
        return bool(self._redacting(exchange, direction))

    def answer(self, exchange: Exchange) -> Refusal | None:
        reading = exchange.response
        if reading is None:
            self._counters["failures"] += 1
            said = self._judges(exchange).failed("response", "inline", exchange=exchange)
        else:
            said = self._response(exchange, self._judges(exchange), reading, "inline", timed=True)
        self._add(exchange, said)
        return self._refusal_among(said)

    def window(self, exchange: Exchange, texts: Sequence[str], released: int) -> Refusal | None:
        entries = [Entry(b"", "assistant", b"", (text,)) for text in texts]
        policies = self._judges(exchange)
        said = self._assessed(exchange, policies, "response", entries, "inline", None, True, False)
        blocking = any(each.outcome == "blocked" for each in said)
        telling = [replace(each, released_bytes=released) for each in said if each.outcome == "blocked"]
        if not blocking:  # what is flagged is said of the whole answer, on the tail
            redacting = {each.agent for each in said if policies.wants_out(each)}
            holding = {each.agent for each in said if policies.holds_for(exchange, each) is not None}
            telling = [each for each in said if each.state != "evaluated" or each.agent in redacting | holding]
            telling = [each for each in telling if not _spoke(exchange, each)]
            exchange.redactors = tuple({*exchange.redactors, *redacting})
        self._add(exchange, telling)
        return self._refusal_among(telling)

    def asking(self, exchange: Exchange) -> Assessment | None:
        return self._asking(exchange, "response") if exchange.verdict.outcome == "escalated" else None

    async def reviewed(self, exchange: Exchange, asking: Assessment) -> Refusal | None:
        escalation = self._judges(exchange).holds_for(exchange, asking)
        assert escalation is not None
        review = review_of(exchange, asking, escalation.timeout, escalation.then)
        began_ns = perf_counter_ns()
        decided = await self._desk.decision(review, escalation.timeout) if self._desk is not None else None
        exchange.review = reviewed(review, decided, perf_counter_ns() - began_ns)
        return refusal_after(review, decided)

    def oversize(self, exchange: Exchange, released: int) -> Refusal:
        gap = Gap("it is larger than what the gateway holds of an answer (receivers::llm::capture_max)", True)
        return self._given_up(exchange, gap, released)

    def kept_in(self, exchange: Exchange, released: int) -> Refusal:
        return self._given_up(exchange, Gap("something in it could not be taken out", True), released)

    def redacted_in(self, exchange: Exchange, direction: Direction, text: str) -> Sequence[Found]:
        return self._judges(exchange).redacted_in(text, direction, self._redacting(exchange, direction))

    def _redacting(self, exchange: Exchange, direction: Direction) -> set[str]:
        said = [each for each in exchange.verdict.assessments if each.direction == direction]
        wants_out = self._judges(exchange).wants_out
        return {each.agent for each in said if wants_out(each)}

    def counters(self) -> dict[str, int]:
        """`assessed`, `flagged`, `escalated`, `blocked`, `incomplete`, `failures`, `detector_failures` …"""
        return {**self._counters, **self._policies.counted()}

    # Parts

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
        entries = _entries(reading)
        gap = None if reading.state == "full" else self._gap(reading)
        return self._assessed(exchange, policies, "inlet", entries, part, gap, timed, released)

    def _response(
        self,
        exchange: Exchange,
        policies: PolicySet,
        reading: ResponseReading,
        part: Part,
        timed: bool = False,
        released: bool = False,
    ) -> list[Assessment]:
        if reading.state == "off":
            why = "content is not captured"
            return policies.skipped("response", part, why, timed=timed, released=released, exchange=exchange)
        gap = None if reading.state == "full" else self._gap(reading)
        return self._assessed(exchange, policies, "response", reading.messages, part, gap, timed, released)

    def _response_later(self, exchange: Exchange, policies: PolicySet, reading: ResponseReading) -> list[Assessment]:
        verdict, redactors = exchange.verdict, exchange.redactors
        if redactors:  # now of all of it
            verdict.assessments = [
                each for each in verdict.assessments if each.direction != "response" or each.agent not in redactors
            ]
        spoke = {each.agent for each in verdict.assessments if each.direction == "response"}
        said = self._response(exchange, policies, reading, "all", released=exchange.refusal is None)
        if redactors:
            said = [_taken_out(each) if each.agent in redactors else each for each in said]
        return [each for each in said if each.agent not in spoke] if spoke else said

    def _given_up(self, exchange: Exchange, gap: Gap, released: int) -> Refusal:
        """Some must be asked and cannot be: they refuse it."""
        said = self._assessed(exchange, self._judges(exchange), "response", (), "inline", gap, False, False)
        said = [replace(each, released_bytes=released) for each in said if each.outcome == "blocked"]
        self._add(exchange, [each for each in said if not _spoke(exchange, each)])
        return self._refused(said[0])

    def _judges(self, exchange: Exchange) -> PolicySet:
        """Those that began with it judge it to its end."""
        judges: PolicySet = exchange.judges or self._policies
        return judges

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

    def _refusal_among(self, said: Sequence[Assessment]) -> Refusal | None:
        blocking = next((each for each in said if each.outcome == "blocked"), None)
        return self._refused(blocking) if blocking is not None else None

    def _refused(self, blocking: Assessment) -> Refusal:
        self._counters["blocked"] += 1
        said = f" {blocking.message}" if blocking.message else ""
        return Refusal(403, "blocked_by_policy", f"Blocked by policy agent {blocking.agent}: {blocking.reason}.{said}")

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


def _taken_out(said: Assessment) -> Assessment:
    """As if it had been asked of the whole answer beforehand: what it wanted taken out was, before the rest went on."""
    if said.intent != "redact" or said.state != "bypassed":
        return said
    return replace(said, outcome="redacted", state="evaluated", reason=said.reason.removesuffix(f"; {RELAYED}"))


def _entries(reading: RequestReading) -> Sequence[Entry]:
    if reading.system or reading.definitions:
        return [*reading.system, *reading.definitions, *reading.messages]
    return reading.messages


def _spoke(exchange: Exchange, assessment: Assessment) -> bool:
    """Whether this agent has said as much of this direction before."""
    return any(
        each.agent == assessment.agent and each.direction == assessment.direction and each.outcome == assessment.outcome
        for each in exchange.verdict.assessments
    )
