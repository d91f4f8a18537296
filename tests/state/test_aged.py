"""Tables of a shared map stay as small and as young as they were told to."""

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pytest

from gateway.state.aged import AgedTable
from gateway.state.lmdb_file import StateFile


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StateFile]:
    file = StateFile(tmp_path, "1", ["things"])
    yield file
    file.close()


def key(number: int) -> bytes:
    return blake2b(number.to_bytes(4, "big"), digest_size=16).digest()


def filled(file: StateFile, limit: int, entries: int) -> tuple[AgedTable, Counter[str]]:
    """Entry n was used at n."""
    counters: Counter[str] = Counter()
    table = AgedTable(file, "things", limit, counters)
    for number in range(entries):
        put(file, table, number)
    return table, counters


def put(file: StateFile, table: AgedTable, number: int) -> None:
    file.write(lambda transaction: table.put(transaction, key(number), b"%d" % number, number))


def known(file: StateFile, table: AgedTable, entries: int) -> set[int]:
    return file.write(lambda transaction: {number for number in range(entries) if table.get(transaction, key(number))})


def test_a_value_comes_with_its_time(file: StateFile) -> None:
    table, _ = filled(file, 10, 3)
    assert file.write(lambda transaction: table.get(transaction, key(2))) == (2, b"2")
    assert file.write(lambda transaction: table.get(transaction, key(9))) is None


def test_a_full_table_forgets_old_entries_and_never_the_new_one(file: StateFile) -> None:
    table, counters = filled(file, 100, 1000)
    left = known(file, table, 1000)
    assert len(left) == 100
    assert file.write(table.count) == 100
    assert counters == {"things_forgotten": 900}
    assert 999 in left
    assert sum(left) / len(left) > 850, "of those that could go it is the older ones that went"


def test_a_limit_that_was_made_smaller_is_reached_step_by_step(file: StateFile) -> None:
    filled(file, 100, 100)
    table, counters = filled(file, 10, 0)
    for number in range(200):
        put(file, table, 1000 + number)
    assert file.write(table.count) == 10
    assert counters["things_forgotten"] == 290


def test_what_is_too_old_goes_in_small_steps(file: StateFile) -> None:
    table, counters = filled(file, 1000, 300)
    looked = [file.write(lambda transaction: table.sweep(transaction, 200, 50)) for _ in range(12)]
    assert max(looked) == 50
    assert known(file, table, 300) == {*range(200, 300)}
    assert counters == {"things_expired": 200}


def test_an_empty_table_is_swept_too(file: StateFile) -> None:
    table, counters = filled(file, 10, 0)
    assert [file.write(lambda transaction: table.sweep(transaction, 200, 50)) for _ in range(2)] == [0, 0]
    assert counters == {}
