"""Whether everything that went in came out, and what wrk said."""

import pytest

from bench.load import LoadFailed, load_of
from bench.ours import EVERYTHING, EXPORTERS_OFF, Setup
from bench.trial import lost

SAID = (
    'BENCH {"requests":100,"duration_us":2000000,"ended_ns":5000000000,"p50_us":10,"p99_us":20,"max_us":30,"bytes":1,'
    '"connect":0,"read":0,"write":0,"status":0,"timeout":0}'
)


@pytest.mark.parametrize(
    ("setup", "spans", "rows", "problems"),
    [
        (EVERYTHING, 100, 100, 0),
        (EVERYTHING, 104, 104, 0),  # four more were on their way when the load ended
        (EVERYTHING, 99, 100, 2),
        (EVERYTHING, 105, 105, 2),
        (EVERYTHING, 103, 102, 1),
        (Setup(exporters=("otlp_http",)), 100, -1, 0),
        (EXPORTERS_OFF, -1, -1, 0),
    ],
)
def test_what_is_missing_or_too_much_is_a_problem(setup: Setup, spans: int, rows: int, problems: int) -> None:
    assert len(lost(100, 100, 4, setup, spans, rows)) == problems


def test_what_reached_the_model_must_come_out_even_if_nobody_waited_for_the_answer() -> None:
    assert lost(100, 103, 4, EVERYTHING, 102, 102)
    assert not lost(100, 103, 4, EVERYTHING, 103, 103)


def test_throughput_is_counted_from_the_first_request() -> None:
    load = load_of(f"Running 2s test\n{SAID}\n")
    assert load.per_s == 50
    assert load.started_ns == 3_000_000_000


@pytest.mark.parametrize("output", ["", SAID.replace('"status":0', '"status":3'), SAID.replace(":100,", ":0,")])
def test_a_load_with_refused_answers_is_no_load(output: str) -> None:
    with pytest.raises(LoadFailed):
        load_of(output)
