"""The secret behind principals: made once, the same for all, nobody else's to read."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.state.secret import kept_secret


def test_it_is_made_once_and_is_this_users_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "state"
    secret = kept_secret(folder)
    assert len(secret) == 32
    assert kept_secret(folder) == secret
    [file] = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_each_folder_has_its_own(tmp_path: Path) -> None:
    assert kept_secret(tmp_path / "a") != kept_secret(tmp_path / "b")


def test_who_makes_it_at_the_same_moment_gets_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for round_number in range(20):
            folder = tmp_path / str(round_number)
            assert len(set(pool.map(lambda _, folder=folder: kept_secret(folder), range(8)))) == 1


def test_one_that_is_cut_is_refused_without_being_shown(tmp_path: Path) -> None:
    (tmp_path / "principals.key").write_bytes(b"short-secret")
    with pytest.raises(OSError, match="delete it") as caught:
        kept_secret(tmp_path)
    assert "short-secret" not in str(caught.value)
