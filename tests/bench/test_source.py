"""Whether a build is the same one: by what its files say."""

from pathlib import Path

import pytest

from bench.source import fingerprint


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "app.py").write_text("one")
    return tmp_path


def test_the_same_files_are_the_same_build(root: Path) -> None:
    assert fingerprint(root) == fingerprint(root)


@pytest.mark.parametrize(("name", "text"), [("app.py", "two"), ("new.py", ""), ("agent.yaml", "agent: x")])
def test_a_changed_or_new_source_is_another_build(root: Path, name: str, text: str) -> None:
    before = fingerprint(root)
    (root / "gateway" / name).write_text(text)
    assert fingerprint(root) != before


def test_what_running_leaves_behind_is_no_source(root: Path) -> None:
    before = fingerprint(root)
    (root / "gateway" / "app.cpython-311.pyc").write_bytes(b"x")
    assert fingerprint(root) == before
