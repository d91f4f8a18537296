"""The configuration that is measured, and what the gateway says it lost."""

import json
from pathlib import Path

import pytest
import yaml

from bench.ours import EVERYTHING, EXPORTERS_OFF, IN_LMDB, ONLY_NEW, Ports, Setup, config_of, losses, lost_in, totals_in
from bench.stages import LADDER

PORTS = Ports(1, 2, 3)


def pipeline(setup: Setup) -> object:
    config = yaml.safe_load(yaml.safe_dump(config_of(setup, PORTS, 4, 5, Path("/x"))))
    return config["service"]["pipelines"]["traces"]


@pytest.mark.parametrize(
    ("setup", "exporters"),
    [(EVERYTHING, ["store", "otlp_http"]), (EXPORTERS_OFF, ["nop"]), (ONLY_NEW, ["store", "otlp_http"])],
)
def test_the_throughput_rows_judge_and_resolve_sessions(setup: Setup, exporters: list[str]) -> None:
    assert pipeline(setup) == {"receivers": ["llm"], "processors": ["session", "policy"], "exporters": exporters}


def test_sessions_are_looked_for_in_lmdb_where_the_row_says_so_and_nowhere_else() -> None:
    config = config_of(IN_LMDB, PORTS, 4, 5, Path("/x"))
    assert config["extensions"]["session_state"] == {"url": "lmdb:/x/state"}  # type: ignore[index]
    assert config["processors"]["session"] == {"lineage": True}  # type: ignore[index]
    assert "session_state" in config["service"]["extensions"]  # type: ignore[index]
    assert "session_state" not in config_of(EVERYTHING, PORTS, 4, 5, Path("/x"))["extensions"]  # type: ignore[operator]


def test_each_rung_of_the_ladder_adds_one_thing() -> None:
    switched_on = [
        len(setup.processors) + len(setup.exporters) + (setup.messages == "full") for setup in LADDER.values()
    ]
    assert switched_on == [1, 2, 3, 4, 4, 5]  # otlp_http takes the place of nop


def test_losses_are_found_wherever_they_are_counted() -> None:
    totals = {"event": "worker stopped", "exchanges": 9, "tail_dropped": 1, "otlp_http": {"sent": 7, "dropped_full": 2}}
    log = f'{{"event": "ready"}}\n{json.dumps(totals)}\nbye\n'
    assert lost_in(totals_in(log) or {}) == {"tail_dropped": 1, "otlp_http.dropped_full": 2}


def test_content_left_out_of_a_span_is_a_loss() -> None:
    assert lost_in({"otlp_http": {"without_content": 3, "sent": 9}}) == {"otlp_http.without_content": 3}


def test_a_worker_that_said_nothing_is_not_taken_for_one_that_lost_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("Traceback\n")
    assert losses(tmp_path)
