"""Policy files that change: noticed once at rest, read whole, and followed by who redacts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.model.message import Entry
from gateway.policy.current import CurrentPolicies
from gateway.policy.engine import PolicySet
from gateway.policy.files import PolicyFiles
from gateway.policy.load import Agent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text("a")
    return tmp_path


def test_a_change_is_noticed_once_it_has_come_to_rest(folder: Path) -> None:
    files = PolicyFiles([str(folder / "*.yaml")])
    assert not files.changed()
    (folder / "b.yaml").write_text("b")
    assert not files.changed()  # perhaps c.yaml is on its way
    (folder / "c.yaml").write_text("c")
    assert not files.changed()
    assert files.changed()
    assert files.reading(lambda: "read") == "read"
    assert [files.changed() for _ in range(3)] == [False] * 3
    (folder / "a.yaml").unlink()
    assert [files.changed() for _ in range(2)] == [False, True]


def test_a_file_that_is_named_may_go_and_come(folder: Path) -> None:
    files = PolicyFiles([str(folder / "a.yaml")])
    (folder / "a.yaml").unlink()
    assert [files.changed() for _ in range(2)] == [False, True]
    files.reading(lambda: "")
    (folder / "a.yaml").write_text("other")
    assert [files.changed() for _ in range(2)] == [False, True]


def test_what_was_read_while_it_changed_is_not_used_and_is_read_again(folder: Path) -> None:
    files = PolicyFiles([str(folder / "*.yaml")])

    def read() -> str:
        (folder / "b.yaml").write_text("b")
        return "half"

    assert files.reading(read) is None
    assert [files.changed() for _ in range(2)] == [False, True]
    assert files.reading(lambda: "whole") == "whole"


def test_who_redacts_asks_the_set_that_has_looked(said: Callable[..., Entry], agent: Callable[..., Agent]) -> None:
    first, second = (PolicySet([agent(message=message)]) for message in ("one", "two"))
    current = CurrentPolicies(first)
    current.now = second
    entry = said("write to ada@example.org")
    second.assess("inlet", [entry])
    scans = second._scanner.scans
    assert current.sensitive(entry)
    assert (first._scanner.scans, second._scanner.scans) == (0, scans)
    assert [found.category for found in current.sensitive_in("ada@example.org")] == ["personal"]
