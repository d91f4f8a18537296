"""What the agents say about messages. Pure: scans each message once, remembers what it found, never keeps its text.

What a message holds is remembered in its `notes`, so a repeated history costs one look-up a message; places are not
remembered but found again for who asks, because they would be many times the size of a message made of nothing else.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import chain
from time import perf_counter
from typing import Literal, NamedTuple

from gateway.contracts import Detector, Fact
from gateway.model.exchange import Exchange
from gateway.model.message import Entry
from gateway.model.verdict import Assessment, Direction
from gateway.policy.asking import applies, asked_without_texts, judged_apart
from gateway.policy.compile import Effort, Scanner
from gateway.policy.counting import Counting, Counts
from gateway.policy.detectors.entities import ENTITIES
from gateway.policy.detectors.secrets import SECRETS
from gateway.policy.detectors.shape import Place, Shape, Watch
from gateway.policy.judging import NOTHING, Gap, Look, Panel, Seat, seat_of
from gateway.policy.load import Agent
from gateway.policy.memory import SessionMemory
from gateway.policy.schema import DIRECTIONS, Escalation
from gateway.policy.sight import Seen
from gateway.policy.workspaces import Workspaces, agents_in, special

Part = Literal["all", "inline", "beside", "tail"]
"""`inline`: enforcers that are not shadows, the only ones a client need wait for; of an answer those that hold it.
`beside`: of these, who look at a request while it is on its way. `tail`: the others."""

PARTS: tuple[Part, ...] = ("all", "inline", "beside", "tail")
_REMEMBERED = frozenset({"session.findings", "session.first_seen"})
_Panels = Mapping[tuple[Direction, Part], Panel]
_PROMPT_S = 0.0005
"""Sooner than any timeout that can be written: what took no longer was not late."""

SENSITIVE: tuple[Watch, ...] = (
    *(Watch("credentials", shape) for shape in SECRETS.values()),
    Watch("financial", ENTITIES["credit_card"]),
    Watch("financial", ENTITIES["iban"]),
    Watch("personal", ENTITIES["email"]),
)
"""What every set looks for, whatever the agents ask: the store's redaction needs it, and one scan serves both."""

_NOTES_LIMIT = 8
"""Sets of earlier configurations leave their notes behind: past this many, all are dropped."""

Held = tuple[Counts, bytes, Counts]
"""What a message holds; the digest of the one before it; and what goes over the seam between the two."""


class Found(NamedTuple):
    category: str
    detector: str
    place: Place
    more: bool
    """There may be more of this kind than were told apart."""


class PolicySet:
    """Agents compiled into one scan. Not thread-safe; one a worker."""

    def __init__(
        self,
        agents: Sequence[Agent],
        on_error: Literal["allow", "block"] = "allow",
        timeout_s: float = 0.2,
        sensitive: Sequence[Watch] = SENSITIVE,
        workspaces: Workspaces | None = None,
        before: "PolicySet | None" = None,
    ) -> None:
        """`before`: the set that this one replaces; what it remembers and counted goes on."""
        self.counters: Counter[str] = before.counters if before is not None else Counter()
        self._memory: SessionMemory = before._memory if before is not None else SessionMemory()
        agents = _with_their_memory(agents, before.agents if before is not None else ())
        self.agents: tuple[Agent, ...] = tuple(agents)
        shapes: dict[Shape, int] = {}
        for watch in (*sensitive, *(watch for agent in agents for watch in agent.watches)):
            shapes.setdefault(watch.shape, len(shapes))
        self._scanner = Scanner(list(shapes))
        self._counting = Counting(self._scanner, self.counters)
        self._sensitive = {shapes[watch.shape]: watch for watch in sensitive}
        self.version = _version(agents, shapes)
        self._key = f"policy:{self.version}"
        names = [name for agent in agents if agent.condition is not None for name in agent.condition.names]
        self._remembers = not _REMEMBERED.isdisjoint(names)

        def panels_of(judging: Sequence[Agent]) -> _Panels:
            seats = [
                seat_of(agent, direction, shapes, on_error, timeout_s)
                for agent in judging
                for direction in agent.rules.directions
            ]
            return {
                (direction, part): Panel([each for each in seats if _belongs(each, direction, part)])
                for direction in DIRECTIONS
                for part in PARTS
            }

        configured = workspaces or {}
        elsewhere = {name: agents_in(name, agents, configured) for name in special(agents, configured)}
        everywhere = agents_in("", agents, configured)
        self._panels = panels_of(everywhere)
        self._special = {name: panels_of(judging) for name, judging in elsewhere.items()}
        if self._special:
            for panel in self._panels.values():
                panel.apart = True
        self._redactors = _redactors(self._panels, *self._special.values())
        self._learning = {name: _learners(judging) for name, judging in {"": everywhere, **elsewhere}.items()}
        # Asked of every exchange: known once.
        self.inline = self.asked("inlet", "inline")
        self.beside = self.asked("inlet", "beside")
        self.later = self.asked("inlet", "tail")
        self.back = self.asked("response")
        self.holds = self.asked("response", "inline")
        self.gates = self.holds or self.beside or bool(self._redactors)
        """Whether an exchange may have to pass a gate."""
        self.learns = any(self._learning.values())
        """Whether any detector is to be told of exchanges that have ended."""

    def asked(self, direction: Direction, part: Part = "all") -> bool:
        """Whether any agent of this part looks at this direction, in any workspace."""
        return any(panels[direction, part].seats for panels in (self._panels, *self._special.values()))

    def holds_for(self, exchange: Exchange, said: Assessment) -> Escalation | None:
        """How long, if an exchange that this agent escalated waits for a person."""
        seats = self._panel(said.direction, "inline", exchange).seats
        rules = next((seat.agent.rules for seat in seats if seat.agent.name == said.agent), None)
        waits = said.outcome == "escalated" and rules is not None and rules.escalation.mode == "hold"
        return rules.escalation if waits and rules is not None else None

    def wants_out(self, said: Assessment) -> bool:
        """Whether an enforcer found something that it wants taken out, whatever else it found."""
        seats = self._redactors.get((said.agent, said.direction), ())
        rules = next((seat.agent.rules for seat in seats if seat.agent.version == said.version), None)
        return rules is not None and any(rules.wish(each, said.direction) == "redact" for each in said.categories)

    def holding(self, exchange: Exchange) -> Literal["after", "window", "hold"]:
        """How an answer is kept back for who must see it first: the strictest that any agent asks for."""
        asked = {seat.agent.rules.response for seat in self._panel("response", "inline", exchange).seats}
        return "hold" if "hold" in asked else "window" if asked else "after"

    def assess(
        self,
        direction: Direction,
        entries: Sequence[Entry],
        part: Part = "all",
        *,
        gap: Gap | None = None,
        released: bool = False,
        timed: bool = False,
        exchange: Exchange | None = None,
        given: Mapping[str, Fact] | None = None,
    ) -> list[Assessment]:
        """One assessment for each agent of this part that looks at this direction.

        `released`: the bytes have gone, so a block cannot be carried out. `timed`: somebody waits, timeouts count.
        `exchange`: whose messages these are; agents with a condition or detectors that are no shapes go by it.
        `given`: facts that are not looked up. Raises ValueError where such agents are asked without an exchange.
        """
        panel = self._panels[direction, part]
        if panel.apart:
            return self._assess_apart(direction, part, entries, gap, released, timed, exchange, given)
        began = perf_counter()
        look = self._look(entries, began, panel.patience_s if timed else None)
        took_ms = int((perf_counter() - began) * 100_000) / 100  # `round` takes longer than all else here
        if look is NOTHING and gap is None:
            return panel.clean(took_ms)
        return self._noted(panel.judged(look, gap, timed, released, took_ms), exchange)

    def _assess_apart(
        self,
        direction: Direction,
        part: Part,
        entries: Sequence[Entry],
        gap: Gap | None,
        released: bool,
        timed: bool,
        exchange: Exchange | None,
        given: Mapping[str, Fact] | None,
    ) -> list[Assessment]:
        panel = self._panel(direction, part, exchange)
        if not panel.seats:
            return []
        if exchange is None:
            raise ValueError("these agents must be told which exchange it is")
        look = partial(self._look, entries, perf_counter(), panel.patience_s if timed else None)
        sight = Seen(exchange, direction, entries, self._memory, given)
        return self._noted(judged_apart(panel, sight, look, gap, timed, released, self.counters), exchange)

    def failed(
        self, direction: Direction, part: Part, released: bool = False, exchange: Exchange | None = None
    ) -> list[Assessment]:
        """What the agents come to where assessing itself broke."""
        everything = frozenset(range(len(self._scanner.shapes)))
        return self._panel(direction, part, exchange).failed(NOTHING._replace(failed=everything), released)

    def skipped(
        self,
        direction: Direction,
        part: Part,
        reason: str,
        *,
        released: bool = False,
        timed: bool = False,
        exchange: Exchange | None = None,
    ) -> list[Assessment]:
        """What they come to where there are no texts: those that go by more are asked all the same."""
        panel = self._panel(direction, part, exchange)
        if not panel.apart or exchange is None:
            return panel.skipped(reason)
        sight = Seen(exchange, direction, (), self._memory)
        return self._noted(asked_without_texts(panel, sight, reason, timed, released, self.counters), exchange)

    def ended(self, exchange: Exchange, given: Mapping[str, Fact] | None = None) -> None:
        """Once an exchange, on the tail, after everybody was asked: detectors remember what they need of it."""
        learning = self._learning.get(exchange.workspace, self._learning[""])
        if not learning:
            return
        messages = exchange.response.messages if exchange.response is not None else ()
        sight = Seen(exchange, "response", messages, self._memory, given)
        for agent, detectors in learning:
            try:
                if applies(agent, sight):
                    for detector in detectors:
                        detector.ended(sight)
            except Exception:  # the boundary to detectors: what they fail to remember is counted
                self.counters["detector_failures"] += 1

    def counted(self) -> dict[str, int]:
        """What it did, and what had to be forgotten; of a detector by agent and category."""
        counted = {**self.counters, **self._memory.counters}
        for agent in self.agents:
            for category, _, _, detector in agent.equipment:
                counted |= {f"{agent.name}.{category}.{what}": count for what, count in detector.counters().items()}
        return counted

    def _panel(self, direction: Direction, part: Part, exchange: Exchange | None) -> Panel:
        workspace = exchange.workspace if exchange is not None else ""
        return self._special.get(workspace, self._panels)[direction, part]

    def remember(self, exchange: Exchange, categories: Sequence[str]) -> None:
        """Others have found these in it."""
        if self._remembers and categories:
            self._memory.note(exchange, dict.fromkeys(categories))

    def _noted(self, said: list[Assessment], exchange: Exchange | None) -> list[Assessment]:
        if self._remembers and exchange is not None:
            found = dict.fromkeys(category for each in said for category in each.categories)
            if found:
                self._memory.note(exchange, found)
        return said

    def sensitive(self, entry: Entry) -> bool:
        """Whether the entry's texts hold a secret, card, IBAN or e-mail address: a look-up, if it was assessed.

        Also where not every candidate was looked at.
        Raises RuntimeError where a detector failed: what may be sensitive is not called clean.
        """
        return any(index in self._sensitive for index, *_ in self._counts(entry))

    def sensitive_in(self, text: str) -> list[Found]:
        """Where they are, in order of their start. Raises what a broken detector raises.

        Where not every candidate was looked at, the whole text is a place too.
        """
        return self._found_in(text, self._sensitive)

    def redacted_in(self, text: str, direction: Direction, agents: Collection[str]) -> list[Found]:
        """Where the things are that these agents want taken out of traffic; otherwise as `sensitive_in`."""
        return self._found_in(text, self._watched(direction, frozenset(agents)))

    def _watched(self, direction: Direction, agents: frozenset[str]) -> Mapping[int, Watch]:
        watched = {}
        for (name, asked), seats in self._redactors.items():
            for seat in seats if asked == direction and name in agents else ():
                for watch, (category, _, shape) in zip(seat.agent.watches, seat.watches, strict=True):
                    if seat.agent.rules.wish(category, direction) == "redact":
                        watched[shape] = watch
        return watched

    def _found_in(self, text: str, watches: Mapping[int, Watch]) -> list[Found]:
        found = []
        effort = Effort()
        for reading, shapes in self._scanner.noticed(text):
            if reading.cut:
                found += [Found(watch.category, watch.shape.name, (0, len(text)), True) for watch in watches.values()]
            for index in shapes:
                if (watch := watches.get(index)) is not None:
                    places, more = self._scanner.places_in(index, reading, effort)
                    places = reading.written_at(places)
                    if more:
                        places = [(0, len(text)), *places]
                    found += [Found(watch.category, watch.shape.name, place, more) for place in places]
        return sorted(found, key=lambda each: each.place)

    def _look(self, entries: Sequence[Entry], began: float, limit_s: float | None) -> Look:
        key = self._key
        held: list[Counts] = []
        failed: set[int] = set()
        waited_s = 0.0
        unseen = False
        last: Entry | None = None
        before = b""
        for entry in entries:
            seen = entry.notes.get(key)
            if seen is None or seen[1] != before:
                if limit_s is not None:
                    waited_s = perf_counter() - began
                    if waited_s > limit_s:
                        unseen = True
                        break
                seen = self._seen(entry, last, seen, failed)
            counts, _, across = seen
            if counts:
                held.append(counts)
            if across:
                held.append(across)
            last = entry
            before = entry.digest
        if not (held or failed or unseen or waited_s > _PROMPT_S):
            return NOTHING
        cut = frozenset(shape for counts in held for shape, _, more in counts if more)
        return Look(_totals(held), cut, frozenset(failed), waited_s, unseen)

    def _counts(self, entry: Entry) -> Counts:
        seen: Held | None = entry.notes.get(self._key)
        if seen is None:
            failed: set[int] = set()
            seen = self._seen(entry, None, None, failed)
            if failed:
                raise RuntimeError(f"{len(failed)} detectors failed")
        return seen[0]

    def _seen(self, entry: Entry, last: Entry | None, known: Held | None, failed: set[int]) -> Held:
        """Look through a message, and over the seam to the last one, and remember it unless a detector failed: that is
        tried again next time."""
        broken: set[int] = set()
        counting = self._counting
        counts = counting.of(entry.texts, broken) if known is None else known[0]
        if last is None:
            seen: Held = counts, b"", ()
        else:
            seen = counts, last.digest, counting.over_seam(last.texts, entry.texts, broken)
        if broken:
            failed |= broken
            self.counters["detector_failures"] += len(broken)
        else:
            if len(entry.notes) >= _NOTES_LIMIT:
                entry.notes.clear()
            entry.notes[self._key] = seen
        return seen


def _totals(held: Sequence[Counts]) -> dict[int, int]:
    totals: dict[int, int] = {}
    for counts in held:
        for shape, count, _ in counts:
            totals[shape] = totals.get(shape, 0) + count
    return totals


def _version(agents: Sequence[Agent], shapes: Mapping[Shape, int]) -> str:
    parts = [f"{agent.name}={agent.version}" for agent in agents]
    parts += [f"{shape.name}={shape.expression}" for shape in shapes]
    return sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:12]


def _redactors(*panels: _Panels) -> dict[tuple[str, Direction], list[Seat]]:
    """Enforcers that may want something taken out of traffic, by name and direction; a workspace may have its own."""
    found: dict[tuple[str, Direction], list[Seat]] = {}
    for (direction, part), panel in chain(*[each.items() for each in panels]):
        for seat in panel.seats if part == "all" else ():
            wishes = [seat.agent.rules.wish(category, direction) for category in seat.agent.rules.detect]
            if seat.part != "tail" and "redact" in wishes:
                found.setdefault((seat.agent.name, direction), []).append(seat)
    return found


def _belongs(seat: Seat, direction: Direction, part: Part) -> bool:
    return seat.direction == direction and part in ("all", seat.part)


def _with_their_memory(agents: Sequence[Agent], before: Sequence[Agent]) -> Sequence[Agent]:
    """A detector counts on as long as its agent's file says the same of it."""
    kept = {(agent.name, each.category, each.key): each for agent in before for each in agent.equipment}
    if not kept:
        return agents

    def equipped(agent: Agent) -> Agent:
        same = [kept.get((agent.name, each.category, each.key), each) for each in agent.equipment]
        return replace(
            agent,
            equipment=tuple(
                old if old.config == new.config else new for old, new in zip(same, agent.equipment, strict=True)
            ),
        )

    return [equipped(agent) for agent in agents]


def _learners(agents: Sequence[Agent]) -> list[tuple[Agent, list[Detector]]]:
    found = [
        (agent, [each.detector for each in agent.equipment if type(each.detector).ended is not Detector.ended])
        for agent in agents
    ]
    return [(agent, detectors) for agent, detectors in found if detectors]
