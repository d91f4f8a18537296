"""The store opens its own databases, and only those it understands."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.store.config import StorageConfig
from gateway.store.queries import Reader
from gateway.store.sqlite import connect_writer
from gateway.store.tables import UnusableDatabaseError


def test_a_new_database_is_for_its_owner_only(path: Path) -> None:
    connect_writer(path).close()
    assert path.stat().st_mode & 0o077 == 0


def test_an_existing_database_is_opened_again(path: Path) -> None:
    connect_writer(path).close()
    connect_writer(path).close()


def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    connect_writer(path).close()
    _run(path, "PRAGMA user_version = 99")
    with pytest.raises(UnusableDatabaseError, match=r"newer spangate .*upgrade"):
        connect_writer(path)
    with pytest.raises(UnusableDatabaseError, match="newer spangate"):
        Reader(path)


def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    _run(path, "CREATE TABLE notes (text)")
    with pytest.raises(UnusableDatabaseError, match="another program"):
        connect_writer(path)


def test_what_is_no_database_is_refused_by_the_reader(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(UnusableDatabaseError, match="cannot be read"):
        Reader(path)


def test_a_missing_database_is_not_made_by_a_reader(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Reader(path)
    assert not path.exists()


@pytest.mark.parametrize("url", ["postgresql://user:secret@db/x", "sqlite:///", "data.db", "sqlite://x"])
def test_other_stores_are_refused_with_what_is_possible(url: str) -> None:
    with pytest.raises(ValidationError, match="write sqlite:///") as refused:
        StorageConfig(url=url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///./data/spangate.db", "data/spangate.db"), ("sqlite:////var/lib/spangate.db", "/var/lib/spangate.db")],
)
def test_the_path_is_what_follows_the_three_slashes(url: str, path: str) -> None:
    assert StorageConfig(url=url).path == Path(path)


def _run(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
