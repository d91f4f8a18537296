"""What the agents say about messages. Pure: scans each message once, remembers what it found, never keeps its text.

What a message holds is remembered in its `notes`, so a repeated history costs one look-up a message; places are not
remembered but found again for who asks, because they would be many times the size of a message made of nothing else.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal, NamedTuple

from gateway.model.message import Entry
from gateway.model.verdict import INTENTS, AgentRole, Assessment, AssessmentState, Direction, Finding, Intent, Outcome
from gateway.policy.compile import MAX_PLACES, Scanner
from gateway.policy.detectors.entities import ENTITIES
from gateway.policy.detectors.secrets import SECRETS
from gateway.policy.detectors.shape import Place, Shape, Watch
from gateway.policy.load import Agent
from gateway.policy.schema import DIRECTIONS

Part = Literal["all", "inline", "tail"]
"""`inline`: enforcers that are not shadows, the only ones a client need wait for. `tail`: the others."""

PARTS: tuple[Part, ...] = ("all", "inline", "tail")
_PROMPT_S = 0.0005
"""Sooner than any timeout that can be written: what took no longer was not late."""
_CLEANS_LIMIT = 256

SENSITIVE: tuple[Watch, ...] = (
    *(Watch("credentials", shape) for shape in SECRETS.values()),
    Watch("financial", ENTITIES["credit_card"]),
    Watch("financial", ENTITIES["iban"]),
    Watch("personal", ENTITIES["email"]),
)
"""What every set looks for, whatever the agents ask: the store's redaction needs it, and one scan serves both."""

_OUTCOMES: Mapping[AgentRole, Mapping[Intent, Outcome]] = {
    "observer": {
        "allow": "allowed",
        "flag": "flagged",
        "redact": "flagged",
        "escalate": "flagged",
        "block": "flagged",
    },
    "enforcer": {
        "allow": "allowed",
        "flag": "flagged",
        "redact": "redacted",
        "escalate": "escalated",
        "block": "blocked",
    },
}
_NOTES_LIMIT = 8
"""Sets of earlier configurations leave their notes behind: past this many, all are dropped."""

Counts = tuple[tuple[int, int], ...]
"""(shape, how often)."""


class Gap(NamedTuple):
    """Why what could be assessed is not all there was."""

    reason: str
    block: bool = False
    """Enforcers refuse it."""


class Found(NamedTuple):
    category: str
    detector: str
    place: Place
    more: bool
    """There may be more of this kind than were told apart."""


@dataclass(frozen=True, slots=True)
class _Seat:
    """One agent in one direction."""

    agent: Agent
    direction: Direction
    watches: tuple[tuple[str, str, int], ...]
    """(category, detector, shape)."""
    inline: bool
    clean: Assessment
    cleans: dict[float, Assessment]
    """`clean` by the time it took: made once each, because most messages have nothing."""
    closes: bool
    """On an error: block."""
    timeout_s: float


class _Look(NamedTuple):
    """What a number of messages hold together."""

    totals: Mapping[int, int]
    failed: frozenset[int]
    waited_s: float
    """When the last new message was begun; past an agent's timeout it was late."""
    unseen: bool
    """Time ran out with messages left."""


class PolicySet:
    """Agents compiled into one scan. Not thread-safe; one a worker."""

    def __init__(
        self,
        agents: Sequence[Agent],
        on_error: Literal["allow", "block"] = "allow",
        timeout_s: float = 0.2,
        sensitive: Sequence[Watch] = SENSITIVE,
    ) -> None:
        self.agents = tuple(agents)
        shapes: dict[Shape, int] = {}
        for watch in (*sensitive, *(watch for agent in agents for watch in agent.watches)):
            shapes.setdefault(watch.shape, len(shapes))
        self._scanner = Scanner(list(shapes))
        self._sensitive = {shapes[watch.shape]: watch for watch in sensitive}
        self.version = _version(agents, shapes)
        self._key = f"policy:{self.version}"
        self._seats = {
            direction: [
                _seat(agent, direction, shapes, on_error, timeout_s)
                for agent in agents
                if direction in agent.rules.directions
            ]
            for direction in DIRECTIONS
        }
        self._seats_of = {
            (direction, part): [seat for seat in seats if _belongs(seat, part)]
            for direction, seats in self._seats.items()
            for part in PARTS
        }
        self.counters: Counter[str] = Counter()

    def asked(self, direction: Direction, part: Part = "all") -> bool:
        """Whether any agent of this part looks at this direction."""
        return bool(self._seats_of[direction, part])

    def assess(
        self,
        direction: Direction,
        entries: Sequence[Entry],
        part: Part = "all",
        *,
        gap: Gap | None = None,
        released: bool = False,
        timed: bool = False,
    ) -> list[Assessment]:
        """One assessment for each agent of this part that looks at this direction.

        `released`: the bytes have gone, so a block cannot be carried out. `timed`: somebody waits, timeouts count.
        """
        seats = self._seats_of[direction, part]
        if not seats:
            return []
        began = time.perf_counter()
        look = self._look(entries, began, max(seat.timeout_s for seat in seats) if timed else None)
        took_ms = round((time.perf_counter() - began) * 1000, 2)
        if not (look.totals or look.failed or look.unseen or look.waited_s > _PROMPT_S or gap is not None):
            return [_clean(seat, took_ms) for seat in seats]
        return [_judged(seat, look, gap, timed, released, took_ms) for seat in seats]

    def failed(self, direction: Direction, part: Part, released: bool = False) -> list[Assessment]:
        """What the agents come to where assessing itself broke."""
        everything = frozenset(range(len(self._scanner.shapes)))
        look = _Look({}, everything, 0.0, False)
        seats = self._seats_of[direction, part]
        return [_judged(seat, look, None, False, released, 0.0) for seat in seats]

    def skipped(self, direction: Direction, part: Part, reason: str) -> list[Assessment]:
        """What they come to where there was nothing to look at."""
        seats = self._seats_of[direction, part]
        return [replace(seat.clean, state="skipped", reason=reason) for seat in seats]

    def findings(self, agent: str, entry: Entry) -> list[Finding]:
        """Where this agent's detectors found something; looked up anew. Raises what a broken detector raises."""
        watches = next(a.watches for a in self.agents if a.name == agent)
        shapes = self._scanner.shapes
        return [
            Finding(watch.category, watch.shape.name, number, *place)
            for index, _ in self._counts(entry)
            for watch in watches
            if watch.shape == shapes[index]
            for number, text in enumerate(entry.texts)
            for place in self._scanner.places(index, text).places
        ]

    def sensitive(self, entry: Entry) -> bool:
        """Whether the entry's texts hold a secret, card, IBAN or e-mail address: a look-up, if it was assessed.

        Raises RuntimeError where a detector failed: what may be sensitive is not called clean.
        """
        return any(index in self._sensitive for index, _ in self._counts(entry))

    def sensitive_in(self, text: str) -> list[Found]:
        """Where they are, in order of their start. Raises what a broken detector raises."""
        found = []
        for variant in _variants(text):
            for index in self._scanner.noticed(variant):
                if (watch := self._sensitive.get(index)) is not None:
                    places, more = self._scanner.places(index, variant)
                    found += [Found(watch.category, watch.shape.name, place, more) for place in places]
        return sorted(found, key=lambda each: each.place)

    def _look(self, entries: Sequence[Entry], began: float, limit_s: float | None) -> _Look:
        key = self._key
        totals: dict[int, int] = {}
        failed: set[int] = set()
        waited_s = 0.0
        for entry in entries:
            counts = entry.notes.get(key)
            if counts is None:
                waited_s = time.perf_counter() - began
                if limit_s is not None and waited_s > limit_s:
                    return _Look(totals, frozenset(failed), waited_s, True)
                counts = self._scanned(entry, failed)
            if counts:
                for shape, count in counts:
                    totals[shape] = totals.get(shape, 0) + count
        return _Look(totals, frozenset(failed), waited_s, False)

    def _counts(self, entry: Entry) -> Counts:
        known: Counts | None = entry.notes.get(self._key)
        if known is not None:
            return known
        failed: set[int] = set()
        counts = self._scanned(entry, failed)
        if failed:
            raise RuntimeError(f"{len(failed)} detectors failed")
        return counts

    def _scanned(self, entry: Entry, failed: set[int]) -> Counts:
        """Look through a message and remember it, unless a detector failed: that is tried again next time."""
        totals: dict[int, int] = {}
        broken: set[int] = set()
        for text in entry.texts:
            for index, count in self._counted(text, broken).items():
                totals[index] = totals.get(index, 0) + count
        counts = tuple(totals.items())
        if broken:
            failed |= broken
            self.counters["detector_failures"] += len(broken)
        else:
            if len(entry.notes) >= _NOTES_LIMIT:
                entry.notes.clear()
            entry.notes[self._key] = counts
        return counts

    def _counted(self, text: str, broken: set[int]) -> dict[int, int]:
        counts: dict[int, int] = {}
        for variant in _variants(text):
            try:
                noticed = self._scanner.noticed(variant)
            except Exception:  # Hyperscan failing, for whatever reason, is every agent's failure: counted, and judged
                broken.update(range(len(self._scanner.shapes)))
                return counts
            for index in noticed:
                try:
                    places, more = self._scanner.places(index, variant)
                except Exception:  # one broken detector must not silence the others: counted, and judged
                    broken.add(index)
                    continue
                self.counters["findings_cut"] += more
                if places:
                    counts[index] = max(counts.get(index, 0), len(places) + more)
        return counts


def _version(agents: Sequence[Agent], shapes: Mapping[Shape, int]) -> str:
    parts = [f"{agent.name}={agent.version}" for agent in agents]
    parts += [f"{shape.name}={shape.expression}" for shape in shapes]
    return sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:12]


def _variants(text: str) -> tuple[str, ...]:
    """The text, and where it has escapes (JSON, source code) also without: in `\\nsk-…` the key has no beginning.

    Replaced by as many characters, so that places stay right. Both are looked through, so that nothing hides in one.
    """
    if "\\" not in text:
        return (text,)
    plain = text
    for escape, same_length in ((r"\n", " \n"), (r"\t", " \t"), (r"\r", " \r"), (r"\"", ' "'), (r"\/", " /")):
        plain = plain.replace(escape, same_length)
    return (text, plain) if plain != text else (text,)


def _belongs(seat: _Seat, part: Part) -> bool:
    return part == "all" or seat.inline == (part == "inline")


def _seat(
    agent: Agent,
    direction: Direction,
    shapes: Mapping[Shape, int],
    on_error: Literal["allow", "block"],
    timeout_s: float,
) -> _Seat:
    rules = agent.rules
    clean = Assessment(
        agent.name,
        agent.version,
        rules.role,
        direction,
        "allow",
        "allowed",
        "bypassed" if rules.shadow else "evaluated",
    )
    return _Seat(
        agent=agent,
        direction=direction,
        watches=tuple((watch.category, watch.shape.name, shapes[watch.shape]) for watch in agent.watches),
        inline=rules.role == "enforcer" and not rules.shadow,
        clean=clean,
        cleans={},
        closes=(rules.on_error or on_error) == "block",
        timeout_s=rules.timeout or timeout_s,
    )


def _clean(seat: _Seat, took_ms: float) -> Assessment:
    """Nothing found by this agent, nothing missing."""
    made = seat.cleans.get(took_ms)
    if made is None:
        if len(seat.cleans) >= _CLEANS_LIMIT:
            seat.cleans.clear()
        made = seat.cleans[took_ms] = replace(seat.clean, took_ms=took_ms)
    return made


def _judged(seat: _Seat, look: _Look, gap: Gap | None, timed: bool, released: bool, took_ms: float) -> Assessment:
    """One agent's assessment of what was found."""
    rules = seat.agent.rules
    hits = [(category, name, look.totals[shape]) for category, name, shape in seat.watches if look.totals.get(shape)]
    categories = tuple(dict.fromkeys(category for category, _, _ in hits))
    wishes = [rules.wish(category, seat.direction) for category in categories]
    intent: Intent = max(wishes, key=INTENTS.index, default="allow")
    reasons = [_reason(hits)] if hits else []
    state: AssessmentState = "evaluated"
    incomplete, closes = _incompleteness(seat, look, gap, timed)
    if incomplete:
        reasons.append(incomplete)
        closes = closes and rules.role == "enforcer" and not released
        late = timed and _late(seat, look)
        state = "timed_out" if late else "failed_closed" if closes else "failed_open"
        intent = "block" if closes else intent
    outcome = _OUTCOMES[rules.role][intent]
    if incomplete and outcome == "allowed":
        outcome = "flagged"
    if released and outcome in ("blocked", "redacted"):
        outcome = "flagged"
        state = "bypassed" if state == "evaluated" else state
        reasons.append("seen after it was relayed")
    if rules.shadow:
        outcome = "allowed"
        state = "bypassed" if state == "evaluated" else state
    return Assessment(
        agent=seat.agent.name,
        version=seat.agent.version,
        role=rules.role,
        direction=seat.direction,
        intent=intent,
        outcome=outcome,
        state=state,
        reason="; ".join(reasons),
        categories=categories,
        risk=rules.risk if hits else "low",
        tags=rules.tags if hits else (),
        message=rules.message if hits else "",
        took_ms=took_ms,
    )


def _late(seat: _Seat, look: _Look) -> bool:
    return look.unseen or look.waited_s > seat.timeout_s


def _incompleteness(seat: _Seat, look: _Look, gap: Gap | None, timed: bool) -> tuple[str, bool]:
    """Why the agent did not see everything ("" where it did), and whether that closes the door."""
    if timed and _late(seat, look):
        return "time ran out before everything was assessed", seat.closes
    broken = sorted({name for _, name, shape in seat.watches if shape in look.failed})
    if broken:
        named = broken[0] if len(broken) == 1 else f"{len(broken)} detectors"
        return f"{named} failed", seat.closes
    if gap is not None and seat.agent.rules.role == "enforcer":
        return gap.reason, gap.block
    return "", False


def _reason(hits: Sequence[tuple[str, str, int]]) -> str:
    """`credentials: secret:jwt x2; personal: entity:email`. Never matched text."""
    by_category: dict[str, list[str]] = {}
    for category, name, count in hits:
        number = "" if count == 1 else f" x{MAX_PLACES}+" if count > MAX_PLACES else f" x{count}"
        by_category.setdefault(category, []).append(name + number)
    return "; ".join(f"{category}: {', '.join(names)}" for category, names in by_category.items())
