"""Medians, percentiles, and whether a figure was reached."""

import pytest

from bench.figures import Reach, Row, difference_row, percentile, ratio_row, stage_table, table


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 99, 0.0), ([5], 99, 5), ([1, 2, 3, 4], 50, 2), (list(range(1, 101)), 99, 99), ([3, 1, 2], 100, 3)],
)
def test_percentile_is_a_value_that_was_measured(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_the_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_medians() -> None:
    row = ratio_row("small", [10, 20, 90], [100, 100, 100], Reach("≥", 0.2))
    assert row.value == 0.2
    assert row.reached


def test_a_difference_is_taken_within_each_pair() -> None:
    assert difference_row("p50", [200, 300], [100, 250], Reach("≤", 80, " µs")).value == 75


def test_a_problem_makes_a_good_figure_worthless() -> None:
    assert not Row("small", 0.9, Reach("≥", 0.2), problems=("3 spans of 4",)).reached


def test_the_table_says_yes_or_no_and_names_the_problem() -> None:
    rows = [Row("good", 0.5, Reach("≥", 0.2)), Row("bad", 9, Reach("≤", 5, " ms"), problems=("lost",))]
    _, good, bad, problem = table(rows).splitlines()
    assert good.split() == ["good", "0.5", "≥", "0.2", "yes"]
    assert bad.split() == ["bad", "9", "ms", "≤", "5", "ms", "NO"]
    assert problem.strip() == "! lost"


def test_a_figure_without_a_goal_is_neither_reached_nor_missed_unless_it_has_a_problem() -> None:
    rows = [ratio_row("plain", [1], [2], None), ratio_row("lossy", [1], [2], None, ["lost"])]
    _, plain, lossy, _ = table(rows).splitlines()
    assert plain.split()[:4] == ["plain", "0.5", "-", "-"]
    assert lossy.split()[:4] == ["lossy", "0.5", "-", "NO"]
    assert [row.reached for row in rows] == [True, False]


def test_a_stage_costs_what_it_adds() -> None:
    text = stage_table("small", ["relay", "+ store"], [{"worker": 20, "control": 0}, {"worker": 22, "control": 8}])
    assert [line.split()[-1] for line in text.splitlines()] == ["adds", "+20", "+10"]
