"""What the agents say about messages. Pure: scans each message once, remembers what it found, never keeps its text.

What a message holds is remembered in its `notes`, so a repeated history costs one look-up a message; places are not
remembered but found again for who asks, because they would be many times the size of a message made of nothing else.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from time import perf_counter
from typing import Literal, NamedTuple

from gateway.model.message import Entry
from gateway.model.verdict import Assessment, Direction
from gateway.policy.compile import Effort, Places, Scanner
from gateway.policy.detectors.entities import ENTITIES
from gateway.policy.detectors.secrets import SECRETS
from gateway.policy.detectors.shape import Place, Shape, Watch
from gateway.policy.judging import NOTHING, Gap, Look, Panel, Seat, seat_of
from gateway.policy.load import Agent
from gateway.policy.plain import Reading, readings_of, simple
from gateway.policy.schema import DIRECTIONS

Part = Literal["all", "inline", "tail"]
"""`inline`: enforcers that are not shadows, the only ones a client need wait for. `tail`: the others."""

PARTS: tuple[Part, ...] = ("all", "inline", "tail")
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

Counts = tuple[tuple[int, int, bool], ...]
"""(shape, how often, whether there were more candidates than were looked at)."""
_Noticed = tuple[Reading, list[int]]
"""One way to read a text, and the shapes that may be in it."""


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
    ) -> None:
        self.agents = tuple(agents)
        shapes: dict[Shape, int] = {}
        for watch in (*sensitive, *(watch for agent in agents for watch in agent.watches)):
            shapes.setdefault(watch.shape, len(shapes))
        self._scanner = Scanner(list(shapes))
        self._sensitive = {shapes[watch.shape]: watch for watch in sensitive}
        self.version = _version(agents, shapes)
        self._key = f"policy:{self.version}"
        seats = {
            direction: [
                seat_of(agent, direction, shapes, on_error, timeout_s)
                for agent in agents
                if direction in agent.rules.directions
            ]
            for direction in DIRECTIONS
        }
        self._panels = {
            (direction, part): Panel([seat for seat in seats[direction] if _belongs(seat, part)])
            for direction in DIRECTIONS
            for part in PARTS
        }
        self.counters: Counter[str] = Counter()

    def asked(self, direction: Direction, part: Part = "all") -> bool:
        """Whether any agent of this part looks at this direction."""
        return bool(self._panels[direction, part].seats)

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
        panel = self._panels[direction, part]
        if not panel.seats:
            return []
        began = perf_counter()
        look = self._look(entries, began, panel.patience_s if timed else None)
        took_ms = int((perf_counter() - began) * 100_000) / 100  # `round` takes longer than all else here
        if look is NOTHING and gap is None:
            return panel.clean(took_ms)
        return panel.judged(look, gap, timed, released, took_ms)

    def failed(self, direction: Direction, part: Part, released: bool = False) -> list[Assessment]:
        """What the agents come to where assessing itself broke."""
        everything = frozenset(range(len(self._scanner.shapes)))
        look = NOTHING._replace(failed=everything)
        return self._panels[direction, part].judged(look, None, False, released, 0.0)

    def skipped(self, direction: Direction, part: Part, reason: str) -> list[Assessment]:
        """What they come to where there was nothing to look at."""
        return self._panels[direction, part].skipped(reason)

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
        found = []
        effort = Effort()
        for reading in readings_of(text):
            if reading.cut:
                found += [
                    Found(watch.category, watch.shape.name, (0, len(text)), True) for watch in self._sensitive.values()
                ]
            for index in self._scanner.noticed(reading.text):
                if (watch := self._sensitive.get(index)) is not None:
                    places, more = self._scanner.places(index, reading.text, effort)
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
        for entry in entries:
            counts = entry.notes.get(key)
            if counts is None:
                if limit_s is not None:
                    waited_s = perf_counter() - began
                    if waited_s > limit_s:
                        unseen = True
                        break
                counts = self._scanned(entry, failed)
            if counts:
                held.append(counts)
        if not (held or failed or unseen or waited_s > _PROMPT_S):
            return NOTHING
        cut = frozenset(shape for counts in held for shape, _, more in counts if more)
        return Look(_totals(held), cut, frozenset(failed), waited_s, unseen)

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
        broken: set[int] = set()
        texts = entry.texts
        counts: Counts = ()
        if len(texts) == 1:
            if noticed := self._noticed(texts[0], broken):
                counts = self._counted([noticed], [], broken)
        elif texts:
            each = [self._noticed(text, broken) for text in texts]
            joined = self._noticed("".join(texts), broken)
            # Nearly every message ends here: the rest of the search is not even prepared.
            if joined or any(each):
                counts = self._counted(each, joined, broken)
        if broken:
            failed |= broken
            self.counters["detector_failures"] += len(broken)
        else:
            if len(entry.notes) >= _NOTES_LIMIT:
                entry.notes.clear()
            entry.notes[self._key] = counts
        return counts

    def _noticed(self, text: str, broken: set[int]) -> list[_Noticed]:
        """What may be in the text, for each way to read it; empty where nothing may."""
        try:
            if simple(text):
                shapes = self._scanner.noticed(text)
                return [(Reading(text), shapes)] if shapes else []
            readings = [(reading, self._scanner.noticed(reading.text)) for reading in readings_of(text)]
            return [(reading, shapes) for reading, shapes in readings if shapes or reading.cut]
        except Exception:  # Hyperscan failing, for whatever reason, is every agent's failure: counted, and judged
            broken.update(range(len(self._scanner.shapes)))
            return []

    def _counted(self, texts: Sequence[list[_Noticed]], joined: list[_Noticed], broken: set[int]) -> Counts:
        """What a message's texts hold, one by one or joined, whichever is more."""
        effort = Effort()
        cut: set[int] = set()
        apart: Counter[int] = Counter()
        for readings in texts:
            apart.update(self._most(readings, broken, effort, cut))
        together = self._most(joined, broken, Effort(), cut)
        return tuple(
            [
                (shape, max(apart.get(shape, 0), together.get(shape, 0)), shape in cut)
                for shape in dict.fromkeys((*apart, *together))
            ]
        )

    def _most(self, readings: Sequence[_Noticed], broken: set[int], effort: Effort, cut: set[int]) -> dict[int, int]:
        """How often each shape is in a text, in the reading that has it most often."""
        most: dict[int, int] = {}
        for reading, shapes in readings:
            if reading.cut:  # whatever it is, it may be in the rest
                everything = range(len(self._scanner.shapes))
                cut.update(everything)
                most = dict.fromkeys(everything, 0) | most
                self.counters["readings_cut"] += 1
            for shape in shapes:
                places, more = self._places(shape, reading.text, broken, effort)
                if more:
                    cut.add(shape)
                if places or more:
                    most[shape] = max(most.get(shape, 0), len(places))
        return most

    def _places(self, shape: int, text: str, broken: set[int], effort: Effort) -> Places:
        try:
            found = self._scanner.places(shape, text, effort)
        except Exception:  # one broken detector must not silence the others: counted, and judged
            broken.add(shape)
            return Places([])
        self.counters["findings_cut"] += found.more
        return found


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


def _belongs(seat: Seat, part: Part) -> bool:
    return part == "all" or seat.inline == (part == "inline")
