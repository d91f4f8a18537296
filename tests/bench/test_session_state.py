"""The tool that measures session state, on a few sessions: it runs, and leaves nothing behind."""

from pathlib import Path

import pytest

from bench.session_state import main


def test_each_engine_has_its_rows_and_a_sessions_size_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.session_state._SIZED", 20)
    assert main(["--sessions", "30", "--exchanges", "10", "--folder", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ")[:3] for line in said if line.startswith(("| memory", "| LMDB"))]
    assert [row[0].strip("| ") for row in rows] == ["memory"] * 2 + ["LMDB"] * 4
    assert all(row[2] == "30" for row in rows)
    assert "bytes in memory" in said[-1]
    assert "bytes in LMDB" in said[-1]
    assert [*tmp_path.iterdir()] == []
