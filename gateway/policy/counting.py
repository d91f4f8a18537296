"""How often each shape is in a message, and in two that meet. Judges nothing, remembers nothing.

A detector that breaks is counted and named in `broken`; it does not silence the others.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from gateway.policy.compile import Effort, Noticed, Places, Scanner
from gateway.policy.plain import Reading
from gateway.policy.seams import over, seam

Counts = tuple[tuple[int, int, bool], ...]
"""(shape, how often, whether there were more candidates than were looked at)."""


class Counting:
    def __init__(self, scanner: Scanner, counters: Counter[str]) -> None:
        self._scanner = scanner
        self._counters = counters

    def of(self, texts: Sequence[str], broken: set[int]) -> Counts:
        """What the texts of one message hold."""
        if len(texts) == 1:
            noticed = self._noticed(texts[0], broken)
            return self._counted([noticed], (), (), broken) if noticed else ()
        if not texts:
            return ()
        each = [self._noticed(text, broken) for text in texts]
        joined = self._noticed("".join(texts), broken)
        seams = [(before, after, met) for before, after in pairwise(texts) if (met := seam(before, after))]
        across = self._across(seams, broken) if seams else ()
        # Nearly every message ends here: the rest of the search is not even prepared.
        return self._counted(each, joined, across, broken) if joined or across or any(each) else ()

    def over_seam(self, first: Sequence[str], then: Sequence[str], broken: set[int]) -> Counts:
        """What is cut in two: it begins in the last text of a message and ends in the first of the next."""
        if not (first and then and (met := seam(first[-1], then[0]))):
            return ()
        return self._across([(first[-1], then[0], met)], broken)

    def _across(self, seams: Sequence[tuple[str, str, str]], broken: set[int]) -> Counts:
        """What goes over a seam: in two texts, and whole in neither."""
        found: Counter[int] = Counter()
        for before, after, met in seams:
            for reading, shapes in self._noticed(met, broken):
                for shape in shapes:
                    places = self._places(shape, reading, broken, Effort()).places
                    if over(before, after, reading.written_at(places)):
                        found[shape] = max(found[shape], 1)
        return tuple([(shape, count, False) for shape, count in found.items()])

    def _noticed(self, text: str, broken: set[int]) -> Sequence[Noticed]:
        """What may be in the text, for each way to read it; empty where nothing may."""
        try:
            return self._scanner.noticed(text)
        except Exception:  # Hyperscan failing, for whatever reason, is every agent's failure: counted, and judged
            broken.update(range(len(self._scanner.shapes)))
            return ()

    def _counted(
        self, texts: Sequence[Sequence[Noticed]], joined: Sequence[Noticed], across: Counts, broken: set[int]
    ) -> Counts:
        """What a message's texts hold, one by one and over their seams, or joined, whichever is more."""
        effort = Effort()
        cut: set[int] = set()
        apart: Counter[int] = Counter()
        for readings in texts:
            apart.update(self._most(readings, broken, effort, cut))
        apart.update({shape: count for shape, count, _ in across})
        together = self._most(joined, broken, Effort(), cut)
        return tuple(
            [
                (shape, max(apart.get(shape, 0), together.get(shape, 0)), shape in cut)
                for shape in dict.fromkeys((*apart, *together))
            ]
        )

    def _most(self, readings: Sequence[Noticed], broken: set[int], effort: Effort, cut: set[int]) -> dict[int, int]:
        """How often each shape is in a text, in the reading that has it most often."""
        most: dict[int, int] = {}
        for reading, shapes in readings:
            if reading.cut:  # whatever it is, it may be in the rest
                everything = range(len(self._scanner.shapes))
                cut.update(everything)
                most = dict.fromkeys(everything, 0) | most
                self._counters["readings_cut"] += 1
            for shape in shapes:
                places, more = self._places(shape, reading, broken, effort)
                if more:
                    cut.add(shape)
                if places or more:
                    most[shape] = max(most.get(shape, 0), len(places))
        return most

    def _places(self, shape: int, reading: Reading, broken: set[int], effort: Effort) -> Places:
        try:
            found = self._scanner.places_in(shape, reading, effort)
        except Exception:  # one broken detector must not silence the others: counted, and judged
            broken.add(shape)
            return Places([])
        self._counters["findings_cut"] += found.more
        return found
