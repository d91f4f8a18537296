"""`spangate policy replay`, on a store as the gateway writes it."""

import io
import time
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest

from gateway.cli import main
from gateway.commands.policy_replay import replay
from gateway.link.records import ExchangeRecord, MessageRecord
from gateway.model.verdict import Assessment
from gateway.store import rows
from gateway.store.sqlite import connect_writer
from tests.link.fakes import a_message, a_record

HOUR_NS = 3_600 * 1_000_000_000


def stored(path: Path, *records: ExchangeRecord) -> Path:
    connection = connect_writer(path)
    with connection:
        connection.execute("BEGIN")
        rows.insert(connection, list(records), day=1)
    connection.close()
    return path


def exchange(
    name: str, *asked: MessageRecord, answer: MessageRecord | None = None, hours_ago: float = 1, **changes: object
) -> ExchangeRecord:
    answers = (answer,) if answer is not None else ()
    began = time.time_ns() - int(hours_ago * HOUR_NS)
    return a_record(
        name,
        input_digests=b"".join(each.digest for each in asked),
        output_digests=b"".join(each.digest for each in answers),
        messages=(*asked, *answers),
        started_ns=began,
        ended_ns=began + 1_000,
        **{"assessments": (), **changes},
    )


def calling(name: str) -> MessageRecord:
    json = msgspec.json.encode(
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "name": name, "arguments": {}}],
            "finish_reason": "tool_call",
        }
    )
    return MessageRecord(blake2b(json, digest_size=16).digest(), "assistant", json)


def an_agent(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def said(database: Path, *files: str, since_s: float = 24 * 3_600, redacted: bool = False) -> str:
    out = io.StringIO()
    assert replay(database, files, out, since_s=since_s, redacted=redacted) == 0
    return out.getvalue()


NIGHTJAR = (
    "agent: birds\nrole: enforcer\ndirections: [inlet, response]\ndetect: {b: {keywords: [nightjar]}}\nintent: block\n"
)


def test_it_counts_what_would_have_changed_and_shows_where_never_what(tmp_path: Path) -> None:
    bird, owl = a_message("the secret nightjar"), a_message("the owl")
    database = stored(
        tmp_path / "s.db",
        exchange("old", bird, hours_ago=30),
        exchange("blocked", bird, answer=a_message("it flies", "assistant")),
        exchange("relayed", owl, answer=a_message("a nightjar", "assistant"), session_id="evil\x1b[2J"),
        exchange("clean", owl, bird, hours_ago=30),
        exchange("fine", owl, answer=a_message("yes", "assistant")),
    )
    shown = said(database, an_agent(tmp_path / "a.yaml", NIGHTJAR + "shadow: true"))
    lines = shown.splitlines()
    assert lines[0].startswith("3 exchanges since ")
    assert lines[2:6] == [
        "  inlet: 2 allowed, 1 blocked",
        "  response: 1 allowed, 1 flagged",
        "  of these 1 bypassed",
        "2 outcomes would have been others",
    ]
    assert "allowed → blocked: 1" in shown
    assert "  blocked  s1 #1  gpt-4o  birds: b: keyword:0" in shown
    assert "allowed → flagged: 1" in shown
    assert "nightjar" not in shown
    assert "\x1b" not in shown


def test_a_newer_version_of_an_agent_takes_the_place_of_what_the_old_one_said(tmp_path: Path) -> None:
    old = Assessment("birds", "v0", "enforcer", "inlet", "block", "blocked", reason="b: keyword:0")
    other = Assessment("cats", "v0", "observer", "inlet", "flag", "flagged", reason="c: keyword:0")
    database = stored(
        tmp_path / "s.db",
        exchange("a", a_message("a sparrow"), assessments=(old,), outcome="blocked", refusal_code="blocked_by_policy"),
        exchange("b", a_message("a sparrow"), assessments=(old, other), outcome="blocked", end="blocked"),
        exchange("c", a_message("a nightjar"), assessments=(old,), outcome="blocked", end="blocked"),
    )
    shown = said(database, an_agent(tmp_path / "a.yaml", NIGHTJAR))
    assert "2 outcomes would have been others" in shown
    assert "blocked → allowed: 1" in shown
    assert "blocked → flagged: 1" in shown
    assert "nothing found" in shown
    assert "cats: c: keyword:0" in shown


def test_facts_tool_calls_and_what_others_found_in_the_session_are_those_that_are_stored(tmp_path: Path) -> None:
    leak = Assessment("data-protector", "v", "observer", "inlet", "flag", "flagged", categories=("credentials",))
    database = stored(
        tmp_path / "s.db",
        exchange("a", a_message("hello"), answer=calling("web_fetch")),
        exchange("b", a_message("a key"), answer=calling("web_fetch"), assessments=(leak,), outcome="flagged"),
        exchange("c", a_message("go on"), answer=calling("web_fetch"), model="local-1", cost_nusd=3 * 10**9),
        exchange("d", a_message("go on"), answer=calling("read_file")),
    )
    exfiltration = str(Path(__file__).parents[2] / "policies" / "exfiltration.yaml")
    spent = an_agent(
        tmp_path / "b.yaml",
        "agent: spent\nrole: observer\ndetect: {s: {usage: {by: session, window: 30d, cost: 2}}}\n",
    )
    mine = an_agent(
        tmp_path / "a.yaml",
        "agent: local-only\nrole: observer\nwhen: model.startsWith('local') && tokens.output == 0\n"
        "detect: {any: {patterns: '.'}}\n",
    )
    shown = said(database, exfiltration, mine, spent)
    assert shown.count("  inlet: 3 allowed, 1 flagged") == 2
    assert "  response: 2 allowed, 2 flagged\n  of these 1 skipped" in shown
    assert "  inlet: 3 allowed, 1 flagged\n  of these 3 skipped" in shown


def test_what_the_store_has_not_is_said(tmp_path: Path) -> None:
    database = stored(
        tmp_path / "s.db",
        exchange("a", MessageRecord(b"1" * 16, "user", b"")),
        exchange("b", a_message("nightjar")),
    )
    shown = said(database, an_agent(tmp_path / "a.yaml", NIGHTJAR), redacted=True)
    assert "2 exchanges since" in shown
    assert "1 of them without all their content" in shown
    assert "they are not found here" in shown


def test_examples_are_few_and_pages_many(tmp_path: Path) -> None:
    bird = a_message("nightjar")
    database = stored(tmp_path / "s.db", *(exchange(f"x{number}", bird) for number in range(450)))
    shown = said(database, an_agent(tmp_path / "a.yaml", NIGHTJAR))
    assert "allowed → blocked: 450" in shown
    assert shown.count("keyword:0") == 5


@pytest.mark.parametrize(
    ("agent", "error"),
    [("agent: a\nrole: king\ndetect: {c: {keywords: x}}", "a.yaml::role: must be"), (NIGHTJAR, "no database at")],
)
def test_what_is_wrong_is_said_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], agent: str, error: str
) -> None:
    file = an_agent(tmp_path / "a.yaml", agent)
    where = f"extensions.storage.url=sqlite:///{tmp_path}/none.db"
    assert main(["policy", "replay", "--policy", file, "--set", where]) == 1
    assert error in capsys.readouterr().err


def test_the_command_finds_the_store_and_a_duration_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path / "s.db", exchange("a", a_message("nightjar"), hours_ago=3))
    file = an_agent(tmp_path / "a.yaml", NIGHTJAR)
    where = ["--set", f"extensions.storage.url=sqlite:///{tmp_path}/s.db"]
    assert main(["policy", "replay", "--policy", file, "--since", "4h", *where]) == 0
    assert "1 exchanges since" in capsys.readouterr().out
    assert main(["policy", "replay", "--policy", file, "--since", "2h", *where]) == 0
    assert "0 exchanges since" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["policy", "replay", "--policy", file, "--since", "yesterday", *where])
    assert ended.value.code == 2
    assert "write one such as" in capsys.readouterr().err
