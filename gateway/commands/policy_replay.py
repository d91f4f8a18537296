"""`spangate policy replay`: what agents would have said of stored traffic. Changes nothing, prints no content."""

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import msgspec

from gateway.commands.opening import StoreMissingError, failed, opened
from gateway.commands.printing import Printer, one_line, short
from gateway.model.exchange import Captured, Exchange
from gateway.model.message import Entry, Message, RequestReading, ResponseReading, Usage
from gateway.model.session import SessionRef
from gateway.model.verdict import OUTCOMES, Assessment, Direction, Outcome
from gateway.policy.engine import PolicySet
from gateway.policy.load import Agent, PolicyErrors, load_agents
from gateway.providers.known import entry_of
from gateway.store.found import ExchangeRow, MessageRow, Turn
from gateway.store.queries import MAX_PAGE, Reader
from gateway.store.reading import moment

_EXAMPLES = 5
"""Of each kind of change."""
_KNOWN = 10_000
"""Messages kept, so that a history is looked through once."""
_to_message = msgspec.json.Decoder(Message).decode
Change = tuple[Outcome, Outcome]


@dataclass(slots=True)
class Replayed:
    """What came of it."""

    exchanges: int = 0
    without_content: int = 0
    """Of those, that have messages of which the store has no content any more."""
    said: Counter[tuple[str, str, Outcome]] = field(default_factory=Counter)
    """By agent, direction and outcome."""
    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By agent and state, where that is not `evaluated`."""
    changes: Counter[Change] = field(default_factory=Counter)
    """Outcomes of exchanges, as they were and as they would have been."""
    examples: dict[Change, list[tuple[ExchangeRow, Assessment | None]]] = field(default_factory=dict)
    """With the assessment that decides; None where the outcome is milder because an agent says less now."""


def replay(
    path: str | Path,
    files: Sequence[str],
    out: TextIO,
    *,
    since_s: float,
    redacted: bool = False,
    errors: TextIO | None = None,
) -> int:
    """The exit code. `redacted`: the store keeps content without what it takes for sensitive."""
    try:
        agents = [_as_if_in_force(agent) for agent in load_agents(files)]
        with opened(path) as reader:
            after = time.time_ns() - int(since_s * 1e9)
            replayed = _replayed(reader, agents, after)
    except PolicyErrors as wrong:
        return max(failed(line, errors) for line in wrong.lines)
    except StoreMissingError as missing:
        return failed(str(missing), errors)
    _show(replayed, agents, Printer(out), moment(after), redacted)
    return 0


def _as_if_in_force(agent: Agent) -> Agent:
    """A shadow is asked what it would do: that is what it is for."""
    return replace(agent, rules=agent.rules.model_copy(update={"shadow": False}))


def _replayed(reader: Reader, agents: Sequence[Agent], after_ns: int) -> Replayed:
    policies = PolicySet(agents)
    names = {agent.name for agent in agents}
    known = _Known()
    replayed = Replayed()
    for row in _rows(reader, after_ns):
        turn = reader.turn(row.id)
        if turn is None:
            continue  # pruned in the meantime
        replayed.exchanges += 1
        replayed.without_content += turn.omitted > 0 or any(
            message is None or not message.json for message in (*turn.inputs, *turn.outputs)
        )
        exchange = _exchange(turn, known)
        others = [each for each in turn.assessments if each.agent not in names]
        said = _said(policies, exchange, others)
        _count(replayed, row, others, said)
    return replayed


def _rows(reader: Reader, after_ns: int) -> Iterator[ExchangeRow]:
    number = reader.before(after_ns)
    while rows := reader.since(number):
        yield from (row for row in rows if row.started_ns >= after_ns)
        number = rows[-1].n
        if len(rows) < MAX_PAGE:
            return


def _said(policies: PolicySet, exchange: Exchange, others: Sequence[Assessment]) -> list[Assessment]:
    """In the order in which it happened; what is blocked has no answer."""
    assert exchange.request is not None
    said = policies.assess("inlet", exchange.request.messages, exchange=exchange)
    policies.remember(exchange, _categories(others, "inlet"))
    if exchange.response is not None and not any(each.outcome == "blocked" for each in said):
        said += policies.assess("response", exchange.response.messages, released=True, exchange=exchange)
        policies.remember(exchange, _categories(others, "response"))
    policies.ended(exchange)
    return said


def _categories(assessments: Sequence[Assessment], direction: Direction) -> list[str]:
    return [category for each in assessments if each.direction == direction for category in each.categories]


def _count(replayed: Replayed, row: ExchangeRow, others: Sequence[Assessment], said: Sequence[Assessment]) -> None:
    for each in said:
        replayed.said[each.agent, each.direction, each.outcome] += 1
        if each.state != "evaluated":
            replayed.states[each.agent, each.state] += 1
    was: Outcome = OUTCOMES[OUTCOMES.index(row.outcome)] if row.outcome in OUTCOMES else "allowed"
    strictest = max((*others, *said), key=lambda each: OUTCOMES.index(each.outcome), default=None)
    now: Outcome = strictest.outcome if strictest is not None else "allowed"
    if now != was:
        replayed.changes[was, now] += 1
        examples = replayed.examples.setdefault((was, now), [])
        if len(examples) < _EXAMPLES:
            examples.append((row, strictest if now != "allowed" else None))


class _Known(OrderedDict[bytes, Entry]):
    """Messages by digest, so that one that is repeated is looked through once; bounded."""

    def entries(self, messages: Sequence[MessageRow | None]) -> list[Entry]:
        return [self._entry(message) for message in messages if message is not None and message.json]

    def _entry(self, message: MessageRow) -> Entry:
        entry = self.get(message.digest)
        if entry is None:
            entry = self[message.digest] = entry_of(_read(message))
            if len(self) > _KNOWN:
                self.popitem(last=False)
        return entry


def _read(message: MessageRow) -> Message:
    try:
        return _to_message(message.json)
    except msgspec.MsgspecError:
        return Message(message.role, ())  # written by another version: as good as no content


def _exchange(turn: Turn, known: _Known) -> Exchange:
    """As the agents saw it, as far as it is stored: no headers, no tool definitions, nobody's key."""
    row = turn.exchange
    made = Exchange(row.id, row.started_ns, row.method, row.path, [], Captured(0), row.trace_id, b"")
    made.provider, made.api, made.operation = row.provider, row.api, row.operation
    made.workspace, made.user, made.origin, made.service = row.workspace, row.user, row.origin, row.service
    made.participant = row.participant  # type: ignore[assignment] # one of ours, as it was stored
    made.status, made.cost_nusd = row.status, row.cost_nusd
    made.session = SessionRef(
        row.session_id,
        row.session_source,  # type: ignore[arg-type] # the same
        row.session_confidence,
        row.session_sequence,
        bool(row.session_header),
    )
    made.request = RequestReading(model=row.model, stream=bool(row.stream))
    made.request.messages = known.entries(turn.inputs)
    if not row.rejected:
        made.response = ResponseReading(model=row.response_model)
        made.response.messages = known.entries(turn.outputs)
        made.response.finish_reasons = row.finish_reasons.split(",") if row.finish_reasons else []
        made.response.usage = Usage(
            row.usage_state,  # type: ignore[arg-type] # the same
            row.input_tokens,
            row.output_tokens,
            row.cache_read_tokens,
            row.cache_write_tokens,
            row.reasoning_tokens,
        )
    return made


def _show(replayed: Replayed, agents: Sequence[Agent], printer: Printer, since: str, redacted: bool) -> None:
    missing = f", {replayed.without_content} of them without all their content" if replayed.without_content else ""
    printer.line(f"{replayed.exchanges} exchanges since {since}{missing}")
    if redacted:
        printer.line("The store keeps no secrets, cards, bank accounts or e-mail addresses: they are not found here.")
    for agent in agents:
        _show_agent(replayed, agent, printer)
    printer.line(f"{sum(replayed.changes.values())} outcomes would have been others")
    for change, count in replayed.changes.most_common():
        was, now = change
        printer.line(f"  {printer.coloured(was, was)} → {printer.coloured(now, now)}: {count}")
        for row, decisive in replayed.examples[change]:
            why = f"{decisive.agent}: {decisive.reason or decisive.state}" if decisive is not None else "nothing found"
            where = f"{one_line(row.session_id)} #{row.session_sequence}"
            model = short(one_line(row.model or row.path), 28)
            printer.line(f"    {moment(row.started_ns)}  {row.id}  {where}  {model}  {one_line(why)}")


def _show_agent(replayed: Replayed, agent: Agent, printer: Printer) -> None:
    printer.line(f"{agent.name} ({agent.version})")
    for direction in agent.rules.directions:
        counts = [(outcome, replayed.said[agent.name, direction, outcome]) for outcome in OUTCOMES]
        told = ", ".join(f"{count} {printer.coloured(outcome, outcome)}" for outcome, count in counts if count)
        printer.line(f"  {direction}: {told or 'nothing to judge'}")
    states = [f"{count} {state}" for (name, state), count in sorted(replayed.states.items()) if name == agent.name]
    if states:
        printer.line(f"  of these {', '.join(states)}")
