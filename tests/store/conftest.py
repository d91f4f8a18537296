"""A store in a folder of the test's own."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gateway.link.records import ExchangeRecord
from gateway.store import rows
from gateway.store.queries import Reader
from gateway.store.sqlite import connect_writer

Put = Callable[[Sequence[ExchangeRecord]], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spangate.db"


@pytest.fixture
def put(path: Path) -> Iterator[Put]:
    connection = connect_writer(path)

    def put(records: Sequence[ExchangeRecord], day: int = 100) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            rows.insert(connection, records, day)

    yield put
    connection.close()


@pytest.fixture
def reader(put: Put, path: Path) -> Iterator[Reader]:
    reader = Reader(path)
    yield reader
    reader.close()
