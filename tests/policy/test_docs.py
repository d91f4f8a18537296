"""docs/policies.md and the JSON Schema say what is, and their examples do what they say."""

import json
import re
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from gateway.cli import main
from gateway.policy.cases import render, run_cases
from gateway.policy.detectors.known import found_by_entry_point
from gateway.policy.facts import FACTS
from gateway.policy.json_schema import policy_schema

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
SCHEMA = ROOT / "docs" / "policy.schema.json"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
SHIPPED = sorted((ROOT / "policies").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: yaml.safe_load(text)["agent"])
def test_each_example_passes_its_own_cases_and_fits_the_schema(example: str, tmp_path: Path) -> None:
    (tmp_path / "example.yaml").write_text(example)
    report = run_cases([str(tmp_path / "example.yaml")])
    assert len(report.lines) >= 3
    assert report.ok, render(report, color=False)
    jsonschema_rs.validate(policy_schema(), yaml.safe_load(example))


def test_the_detector_of_the_guide_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    (tmp_path / "shouting_detector.py").write_text(code)
    (tmp_path / "shouting_detector-1.dist-info").mkdir()
    entry = "[spangate.detectors]\nshouting = shouting_detector:ShoutingConfig\n"
    (tmp_path / "shouting_detector-1.dist-info" / "entry_points.txt").write_text(entry)
    (tmp_path / "shouting_detector-1.dist-info" / "METADATA").write_text("Name: shouting-detector\nVersion: 1\n")
    (tmp_path / "quiet.yaml").write_text(
        "agent: quiet\nrole: enforcer\ndetect: {noise: {shouting: {most: 0.6}}}\nintent: block\n"
        "cases: [{say: STOP THAT, expect: blocked}, {say: stop that, expect: allowed}]"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found_by_entry_point.cache_clear()
    try:
        report = run_cases([str(tmp_path / "quiet.yaml")])
    finally:
        found_by_entry_point.cache_clear()
    assert report.ok, render(report, color=False)


def test_every_fact_is_in_the_guide() -> None:
    [table] = re.findall(r"<!-- facts -->\n(.*?)\n\n", GUIDE, re.DOTALL)
    assert table == "\n".join(facts_table()), "\n".join(facts_table())


def facts_table() -> list[str]:
    rows = [f"| `{name}` | {fact.kind} | {fact.about} |" for name, fact in FACTS.items()]
    return ["| fact | type | |", "| --- | --- | --- |", *rows]


def test_detectors_are_among_the_components(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["components"]) == 0
    listed = capsys.readouterr().out.partition("\ndetectors\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == ["tools", "usage", "services"]


def test_the_schema_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "schema"]) == 0
    fresh = "write it anew: .venv/bin/spangate policy schema > docs/policy.schema.json"
    assert capsys.readouterr().out == SCHEMA.read_text(encoding="utf-8"), fresh


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_agents_fit_the_schema_and_say_where_it_is(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    jsonschema_rs.validate(policy_schema(), yaml.safe_load(text))
    assert text.startswith("# yaml-language-server: $schema=../docs/policy.schema.json\n") or file.stem in OTHERS


OTHERS = ("data-protector", "prompt-shield")
"""Written before there was a schema."""


@pytest.mark.parametrize(
    "written",
    [
        {"role": "tyrant"},
        {"directions": "outlet"},
        {"timeout": "5"},
        {"detect": {"c": {"entities": ["shoe_size"]}}},
        {"detect": {"c": {"tools": {"denny": ["x"]}}}},
        {"cases": [{"expect": "fine"}]},
        {"cases": [{"expect": "allowed", "given": {"modl": "x"}}]},
        {"wen": "true"},
    ],
    ids=str,
)
def test_an_editor_sees_a_mistake(written: dict[str, object]) -> None:
    good = {"agent": "a", "role": "observer", "detect": {"c": {"keywords": "x"}}}
    validator = jsonschema_rs.validator_for(policy_schema())
    assert validator.is_valid(good)
    assert not validator.is_valid(good | written)


def test_an_editor_explains_keys() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert "CEL" in schema["properties"]["when"]["description"]
    assert "JSON Schema" in schema["$defs"]["ToolsConfig"]["properties"]["arguments"]["description"]
