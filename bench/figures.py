"""What was measured beside what is to be reached: medians, ratios, a table. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal


@dataclass(slots=True, frozen=True)
class Reach:
    """A figure to reach: at least or at most `bound`."""

    sense: Literal["≥", "≤"]
    bound: float
    unit: str = ""

    def reached(self, value: float) -> bool:
        return value >= self.bound if self.sense == "≥" else value <= self.bound

    def __str__(self) -> str:
        return f"{self.sense} {self.bound:g}{self.unit}"


@dataclass(slots=True, frozen=True)
class Row:
    """One line of the table. `problems` are what makes its figure worthless, such as a lost span."""

    name: str
    value: float
    reach: Reach | None
    """None: no goal was set, and the figure is for people."""
    detail: str = ""
    problems: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    """Every run's, in order; the value is their median."""

    @property
    def reached(self) -> bool:
        return (self.reach is None or self.reach.reached(self.value)) and not self.problems


@dataclass(slots=True)
class Sheet:
    """Everything one run of the benchmark found."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    """Rows that were measured to their end."""
    warnings: list[str] = field(default_factory=list)
    """What makes the whole run doubtful."""


def ratio_row(
    name: str, ours: Sequence[float], theirs: Sequence[float], reach: Reach | None, problems: Sequence[str] = ()
) -> Row:
    """The median of the pairs' ratios."""
    ratios = tuple(mine / other for mine, other in zip(ours, theirs, strict=True))
    # The spread of what does not change is the machine's noise: a reader must see it beside the ratio.
    spread = f"{min(theirs):,.0f} to {max(theirs):,.0f}"
    pairs = f"{min(ratios):.3f} to {max(ratios):.3f}"
    detail = f"{median(ours):,.0f} of {median(theirs):,.0f} ({spread}) a second; pairs {pairs}"
    return Row(name, median(ratios), reach, detail, tuple(problems), ratios)


def difference_row(
    name: str, ours: Sequence[float], theirs: Sequence[float], reach: Reach, problems: Sequence[str] = ()
) -> Row:
    """The median of the pairs' differences."""
    differences = tuple(mine - other for mine, other in zip(ours, theirs, strict=True))
    detail = f"{median(ours):,.4g} against {median(theirs):,.4g}{reach.unit}"
    return Row(name, median(differences), reach, detail, tuple(problems), differences)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed; 0 of nothing."""
    ranked = sorted(values)
    if not ranked:
        return 0.0
    rank = -(-len(ranked) * percent // 100)
    return ranked[max(0, int(rank) - 1)]


def table(rows: Sequence[Row]) -> str:
    """Fixed-width text, one line a row, problems below their row."""
    lines = [("", "measured", "reach", "", "")]
    for row in rows:
        unit, goal = (row.reach.unit, str(row.reach)) if row.reach is not None else ("", "-")
        reached = "NO" if not row.reached else "yes" if row.reach is not None else "-"
        lines.append((row.name, f"{row.value:.3g}{unit}", goal, reached, row.detail))
        lines += [("", "", "", "", f"! {problem}") for problem in row.problems]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def stage_table(title: str, rungs: Sequence[str], by_process: Sequence[dict[str, float]]) -> str:
    """CPU an exchange of each rung, and what it added to the one below."""
    processes = list(by_process[0])
    lines = [[title, *processes, "adds"]]
    below = 0.0
    for rung, used in zip(rungs, by_process, strict=True):
        total = sum(used.values())
        lines.append([rung, *(f"{used[name]:.0f}" for name in processes), f"{total - below:+.0f}"])
        below = total
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not at else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
