"""The `spangate` command as a shell sees it: output, errors, exit codes."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.cli import main
from gateway.store import rows
from gateway.store.sqlite import connect_writer
from tests.link.fakes import a_record

COMMANDS = [
    ["run"],
    ["validate"],
    ["demo"],
    ["components"],
    ["policy"],
    ["policy", "test"],
    ["tail"],
    ["sessions"],
    ["sessions", "list"],
    ["sessions", "show"],
    ["sessions", "export"],
    ["sessions", "delete"],
]

WRONG_USAGE = [
    [],
    ["nonsense"],
    ["run", "--nonsense"],
    ["validate"],
    ["policy"],
    ["sessions"],
    ["sessions", "show"],
    ["sessions", "list", "--limit", "0"],
    ["sessions", "list", "--limit", "many"],
    ["sessions", "list", "--json", "--csv"],
    ["sessions", "show", "s1", "--json", "--csv"],
    ["sessions", "export"],
    ["sessions", "delete"],
    ["sessions", "delete", "s1", "s2"],
    ["tail", "--outcome", "weird"],
]

AGENT = """\
agent: codewords
role: enforcer
directions: [inlet]
detect: {codenames: {keywords: [nightjar]}}
intent: block
cases:
  - {say: "tell me about nightjar", expect: blocked}
  - {say: "what is a span?", expect: %s}
"""


class Said(NamedTuple):
    code: int
    out: str
    errors: str


Spangate = Callable[..., Said]


@pytest.fixture
def spangate(capsys: pytest.CaptureFixture[str]) -> Spangate:
    def run(*arguments: str) -> Said:
        try:
            code = main(arguments)
        except SystemExit as stop:  # argparse's way to say --help and wrong usage
            code = int(stop.code or 0)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose store has two sessions in it."""
    database = tmp_path / "spangate.db"
    connection = connect_writer(database)
    with connection:
        connection.execute("BEGIN")
        rows.insert(connection, [a_record("e1"), a_record("e2", session_id="s2", outcome="flagged")], day=1)
    connection.close()
    return written(tmp_path, database)


def written(folder: Path, database: Path) -> Path:
    config = folder / "gateway.yaml"
    config.write_text(
        f"""\
extensions: {{storage: {{url: "sqlite:///{database}"}}}}
receivers: {{llm: {{}}}}
exporters: {{store: {{}}}}
service:
  extensions: [storage]
  pipelines: {{traces: {{receivers: [llm], exporters: [store]}}}}
"""
    )
    return config


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_each_command_explains_itself(spangate: Spangate, command: list[str]) -> None:
    said = spangate(*command, "--help")
    assert (said.code, said.errors) == (0, "")
    assert said.out.startswith(f"usage: spangate {' '.join(command)}".rstrip())


def test_the_help_names_every_command_for_people(spangate: Spangate) -> None:
    indented = [line for line in spangate("--help").out.splitlines() if line[:4] == "    " and line[4:5] != " "]
    named = {line.split()[0] for line in indented}
    assert named == {"run", "validate", "demo", "components", "policy", "tail", "sessions", "reviews"}


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_is_2_and_says_so_on_stderr(spangate: Spangate, arguments: list[str]) -> None:
    said = spangate(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.errors.startswith("usage: spangate")


def test_the_version_is_said(spangate: Spangate) -> None:
    assert spangate("--version").out.startswith("spangate ")


def test_components_lists_what_is_built_in(spangate: Spangate) -> None:
    said = spangate("components")
    assert said.code == 0
    for name in ("llm", "session", "policy", "store", "otlp_http", "debug", "console", "health_check", "storage"):
        assert name in said.out


def test_a_good_configuration_is_validated_in_silence(spangate: Spangate, config: Path) -> None:
    assert spangate("validate", "--config", str(config)) == (0, "", "")


def test_a_bad_configuration_is_1_with_every_error(spangate: Spangate, config: Path) -> None:
    said = spangate(
        "validate", "--config", str(config), "--set", "receivers.llm.capture_max=plenty", "--set", "service.workers=0"
    )
    assert (said.code, said.out) == (1, "")
    assert "receivers::llm::capture_max" in said.errors
    assert "service::workers" in said.errors
    assert all(line.startswith("Error: ") for line in said.errors.splitlines())


def test_a_bad_proxy_in_the_environment_is_1_and_named_without_its_password(
    spangate: Spangate, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "socks5://user:hunter2@proxy:1080")
    said = spangate("validate", "--config", str(config))
    assert said.code == 1
    assert "https_proxy is not the URL of an HTTP proxy" in said.errors
    assert said.errors.count("https_proxy") == 1
    assert "hunter2" not in said.errors


def test_a_configuration_that_is_not_there_is_1(spangate: Spangate, tmp_path: Path) -> None:
    said = spangate("validate", "--config", str(tmp_path / "none.yaml"))
    assert said.code == 1
    assert "none.yaml" in said.errors


@pytest.mark.parametrize(("expected", "code"), [("allowed", 0), ("flagged", 1)])
def test_policy_cases_decide_the_exit_code(spangate: Spangate, tmp_path: Path, expected: str, code: int) -> None:
    policy = tmp_path / "codewords.yaml"
    policy.write_text(AGENT % expected)
    said = spangate("policy", "test", str(policy))
    assert (said.code, said.errors) == (code, "")
    assert "codewords" in said.out


@pytest.mark.parametrize("text", ["agent: x\nrole: tyrant\n", ": : :", ""])
def test_a_broken_policy_file_is_1_and_named(spangate: Spangate, tmp_path: Path, text: str) -> None:
    policy = tmp_path / "broken.yaml"
    policy.write_text(text)
    said = spangate("policy", "test", str(policy))
    assert (said.code, said.out) == (1, "")
    assert "broken.yaml" in said.errors


def test_the_policies_that_ship_pass_their_cases(spangate: Spangate) -> None:
    said = spangate("policy", "test", str(Path(__file__).parent.parent / "policies" / "*.yaml"))
    assert said.code == 0, said.out


def test_sessions_are_listed_as_a_table_as_json_and_as_csv(spangate: Spangate, config: Path) -> None:
    table = spangate("sessions", "list", "--config", str(config))
    assert (table.code, len(table.out.splitlines())) == (0, 3)
    as_json = spangate("sessions", "list", "--json", "--config", str(config))
    assert {session["id"] for session in json.loads(as_json.out)} == {"s1", "s2"}
    as_csv = spangate("sessions", "list", "--csv", "--config", str(config))
    assert {row["id"] for row in csv.DictReader(io.StringIO(as_csv.out))} == {"s1", "s2"}
    limited = spangate("sessions", "list", "--json", "--limit", "1", "--config", str(config))
    assert len(json.loads(limited.out)) == 1


def test_a_session_is_shown_for_people_and_for_scripts(spangate: Spangate, config: Path) -> None:
    assert "session s1" in spangate("sessions", "show", "s1", "--config", str(config)).out
    said = spangate("sessions", "show", "s1", "--json", "--config", str(config))
    assert json.loads(said.out)["session"]["id"] == "s1"


def test_an_unknown_session_is_1_with_the_remedy(spangate: Spangate, config: Path) -> None:
    said = spangate("sessions", "show", "nobody", "--config", str(config))
    assert (said.code, said.out) == (1, "")
    assert "nobody" in said.errors
    assert "spangate sessions list" in said.errors


def test_tail_once_prints_what_is_there_and_stops(spangate: Spangate, config: Path) -> None:
    assert len(spangate("tail", "--once", "--config", str(config)).out.splitlines()) == 2
    flagged = spangate("tail", "--once", "--outcome", "flagged", "--config", str(config))
    assert [line.split()[1] for line in flagged.out.splitlines()] == ["flagged"]
    assert spangate("tail", "--once", "--session", "s1", "--config", str(config)).out.count("s1 #") == 1


@pytest.mark.parametrize(
    "command", [["sessions", "list"], ["sessions", "show", "s1"], ["tail", "--once"]], ids=" ".join
)
def test_a_store_that_is_not_there_yet_is_1(spangate: Spangate, tmp_path: Path, command: list[str]) -> None:
    said = spangate(*command, "--config", str(written(tmp_path, tmp_path / "none.db")))
    assert (said.code, said.out) == (1, "")
    assert "none.db" in said.errors
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    "command", [["components"], ["sessions", "list"], ["tail", "--once"], ["--help"]], ids=" ".join
)
def test_a_reader_that_leaves_early_is_no_error(config: Path, command: list[str]) -> None:
    told = ["--config", str(config)] if command[0] in ("sessions", "tail") else []
    reader, writer = os.pipe()
    os.close(reader)  # as `| head -0` does
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "gateway", *command, *told],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_the_command_line_itself_needs_no_relay_imports() -> None:
    """`sessions list` must not wait for uvloop, aiohttp and protobuf to load before it says --help."""
    code = "import sys, gateway.cli; print(sorted({'uvloop', 'aiohttp', 'hyperscan', 'google.protobuf'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "[]", ended.stderr


@pytest.mark.parametrize("command", ["sessions list", "sessions show s1", "sessions export s1 --csv", "tail --once"])
def test_a_look_at_the_store_imports_neither_the_relay_nor_what_else_is_configured(config: Path, command: str) -> None:
    heavy = {"gateway.app", "gateway.proxy", "gateway.pipeline", "gateway.policy", "gateway.exporters"}
    heavy |= {"gateway.supervisor", "gateway.console", "aiohttp", "asyncio", "hyperscan", "structlog", "uvloop"}
    code = (
        "import sys; from gateway.cli import main; code = main(sys.argv[1:]);"
        f"print(code, sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    argv = [*command.split(), "--config", str(config)]
    ended = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=60)
    assert ended.stderr == "0 []\n"


def test_sessions_are_listed_in_a_shell_without_the_gateways_keys(spangate: Spangate, config: Path) -> None:
    key = "receivers.llm.providers={openai: {base_url: 'http://h', api_key: '${env:SPANGATE_TEST_NO_SUCH_KEY}'}}"
    said = spangate("sessions", "list", "--json", "--config", str(config), "--set", key)
    assert (said.code, said.errors) == (0, "")
    assert len(json.loads(said.out)) == 2
