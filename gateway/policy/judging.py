"""What one agent makes of what was found: its intent, outcome, state and reason. Looks at no message itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from msgspec.structs import replace

from gateway.model.verdict import INTENTS, AgentRole, Assessment, AssessmentState, Direction, Intent, Outcome
from gateway.policy.detectors.shape import Shape
from gateway.policy.load import Agent
from gateway.policy.schema import AgentFile

_CLEANS_LIMIT = 256
RELAYED = "seen after it was relayed"
"""Why a block or a redaction comes to less."""
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


class Gap(NamedTuple):
    """Why what could be assessed is not all there was."""

    reason: str
    block: bool = False
    """Enforcers refuse it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One agent in one direction."""

    agent: Agent
    direction: Direction
    watches: tuple[tuple[str, str, int], ...]
    """(category, detector, shape)."""
    part: Literal["inline", "beside", "tail"]
    clean: Assessment
    """What it says where there is nothing."""
    closes: bool
    """On an error: block."""
    timeout_s: float
    asks: bool
    """Whether it must be known what exchange this is: it has a condition, or detectors that are no shapes."""
    cleans: dict[float, Assessment] = field(default_factory=dict)
    """`clean` by the time it took: the same object again and again, so that its span event is made once."""


class Look(NamedTuple):
    """What a number of messages hold together."""

    totals: Mapping[int, int]
    """How often each shape occurs."""
    cut: frozenset[int]
    """Shapes that had more candidates than were looked at."""
    failed: frozenset[int]
    """Shapes whose detector broke."""
    waited_s: float
    """When the last new message was begun; past an agent's timeout it was late."""
    unseen: bool
    """Time ran out with messages left."""


NOTHING = Look({}, frozenset(), frozenset(), 0.0, False)
"""Seen all of it, in no time that matters, and found nothing: as it is with most messages."""


class Answers(NamedTuple):
    """What an agent's condition and its detectors that are no shapes came to."""

    hits: tuple[tuple[str, str, int], ...] = ()
    """(category, what was found, how often)."""
    failed: str = ""
    """What of it broke."""
    late: bool = False
    skipped: str = ""
    """Why a detector could not look."""
    confidence: float = 1.0
    advice: str = ""


NO_ANSWERS = Answers()


class Panel:
    """The agents of one part that look at one direction."""

    __slots__ = ("_cleans", "apart", "order", "patience_s", "quick", "scanning", "seats")

    def __init__(self, seats: Sequence[Seat]) -> None:
        self.seats = tuple(seats)
        self.order = range(len(self.seats))
        self.quick = tuple(number for number, seat in enumerate(seats) if not seat.watches)
        """Those that need no scan, by their place among the seats."""
        self.scanning = tuple(number for number, seat in enumerate(seats) if seat.watches)
        self.apart = not seats or any(seat.asks for seat in seats)
        """Whether there is more to do than to scan, or nothing: one question for both, since it is asked every time."""
        self.patience_s = max((seat.timeout_s for seat in seats), default=0.0)
        self._cleans: dict[float, tuple[Assessment, ...]] = {}

    def clean(self, took_ms: float) -> list[Assessment]:
        """What they say of `NOTHING`; made once for each time it took, because most messages have nothing."""
        made = self._cleans.get(took_ms)
        if made is None:
            if len(self._cleans) >= _CLEANS_LIMIT:
                self._cleans.clear()
            made = self._cleans[took_ms] = tuple([replace(seat.clean, took_ms=took_ms) for seat in self.seats])
        return [*made]

    def judged(self, look: Look, gap: Gap | None, timed: bool, released: bool, took_ms: float) -> list[Assessment]:
        return [judged(seat, look, gap, timed, released, took_ms) for seat in self.seats]

    def failed(self, look: Look, released: bool) -> list[Assessment]:
        """What they come to where assessing itself broke."""
        broken = Answers(failed="assessing")
        return [judged(seat, look, None, False, released, 0.0, broken) for seat in self.seats]

    def skipped(self, reason: str) -> list[Assessment]:
        return [skipped(seat, reason) for seat in self.seats]


def skipped(seat: Seat, reason: str) -> Assessment:
    return replace(seat.clean, state="skipped", reason=reason)


def seat_of(
    agent: Agent,
    direction: Direction,
    shapes: Mapping[Shape, int],
    on_error: Literal["allow", "block"],
    timeout_s: float,
) -> Seat:
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
    return Seat(
        agent=agent,
        direction=direction,
        watches=tuple((watch.category, watch.shape.name, shapes[watch.shape]) for watch in agent.watches),
        part=_part(rules, direction),
        clean=clean,
        closes=(rules.on_error or on_error) == "block",
        timeout_s=rules.timeout or timeout_s,
        asks=agent.condition is not None or bool(agent.equipment),
    )


def _part(rules: AgentFile, direction: Direction) -> Literal["inline", "beside", "tail"]:
    if rules.role != "enforcer" or rules.shadow:
        return "tail"
    if direction == "response":
        return "tail" if rules.response == "after" else "inline"
    return "beside" if rules.inlet == "parallel" else "inline"


def judged(
    seat: Seat,
    look: Look,
    gap: Gap | None,
    timed: bool,
    released: bool,
    took_ms: float,
    answers: Answers = NO_ANSWERS,
) -> Assessment:
    """One agent's assessment of what was found."""
    if look is NOTHING and gap is None and answers is NO_ANSWERS:
        return clean_after(seat, took_ms)
    rules = seat.agent.rules
    hits = [
        (category, name, f"{look.totals[shape]}{'+' if shape in look.cut else ''}")
        for category, name, shape in seat.watches
        if look.totals.get(shape)
    ]
    hits += [(category, name, str(count)) for category, name, count in answers.hits]
    categories = tuple(dict.fromkeys(category for category, _, _ in hits))
    wishes = [rules.wish(category, seat.direction) for category in categories]
    intent: Intent = max(wishes, key=INTENTS.index, default="allow")
    reasons = [_reason(hits)] if hits else []
    state: AssessmentState = "evaluated"
    if answers.skipped:
        reasons.append(answers.skipped)
        state = "skipped"
    incomplete, closes = _incompleteness(seat, look, gap, timed, answers)
    if incomplete:
        reasons.append(incomplete)
        closes = closes and rules.role == "enforcer" and not released
        late = answers.late or (timed and _late(seat, look))
        state = "timed_out" if late else "failed_closed" if closes else "failed_open"
        intent = "block" if closes else intent
    outcome = _OUTCOMES[rules.role][intent]
    if incomplete and outcome == "allowed":
        outcome = "flagged"
    if released and outcome in ("blocked", "redacted"):
        outcome = "flagged"
        state = "bypassed" if state == "evaluated" else state
        reasons.append(RELAYED)
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
        confidence=answers.confidence,
        tags=rules.tags if hits else (),
        message=f"{rules.message} {answers.advice}".strip() if hits else "",
        took_ms=took_ms,
    )


def clean_after(seat: Seat, took_ms: float) -> Assessment:
    made = seat.cleans.get(took_ms)
    if made is None:
        if len(seat.cleans) >= _CLEANS_LIMIT:
            seat.cleans.clear()
        made = seat.cleans[took_ms] = replace(seat.clean, took_ms=took_ms)
    return made


def _late(seat: Seat, look: Look) -> bool:
    return look.unseen or look.waited_s > seat.timeout_s


def _incompleteness(seat: Seat, look: Look, gap: Gap | None, timed: bool, answers: Answers) -> tuple[str, bool]:
    """Why the agent did not see everything ("" where it did), and whether that closes the door.

    SECURITY: of several reasons the first is said and any closes: being slow as well must not open what a gap closes.
    """
    reason, closes = _unfinished(seat, look, timed, answers)
    if gap is not None and seat.agent.rules.role == "enforcer":
        return reason or gap.reason, closes or gap.block
    return reason, closes


def _unfinished(seat: Seat, look: Look, timed: bool, answers: Answers) -> tuple[str, bool]:
    """The same of what was there to look at."""
    if answers.late or (timed and _late(seat, look)):
        return "time ran out before everything was assessed", seat.closes
    if answers.failed:
        return f"{answers.failed} failed", seat.closes
    broken = sorted({name for _, name, shape in seat.watches if shape in look.failed})
    if broken:
        named = broken[0] if len(broken) == 1 else f"{len(broken)} detectors"
        return f"{named} failed", seat.closes
    # Where some were confirmed the agent has its finding; where none was, the rest may hold one.
    cut = sorted({name for _, name, shape in seat.watches if shape in look.cut and not look.totals.get(shape)})
    if cut:
        named = cut[0] if len(cut) == 1 else f"{len(cut)} detectors"
        return f"{named} had more candidates than were looked at", seat.closes
    return "", False


def _reason(hits: Sequence[tuple[str, str, str]]) -> str:
    """`credentials: secret:jwt x2; personal: entity:email`. Never matched text."""
    by_category: dict[str, list[str]] = {}
    for category, name, count in hits:
        by_category.setdefault(category, []).append(name if count == "1" else f"{name} x{count}")
    return "; ".join(f"{category}: {', '.join(names)}" for category, names in by_category.items())
