"""One table of a shared map: values by key, each with the time of its latest use. Bounded in number and in age."""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from gateway.state.lmdb_file import StateFile, Transaction

if TYPE_CHECKING:
    import lmdb

KEY_BYTES = 8
"""Of a hash that others cannot aim: keys are spread evenly, so that a random place is a fair sample."""
_TIME_BYTES = 8
_SAMPLE = 8


class AgedTable:
    """Not one call's own: all processes that share the map see the same."""

    def __init__(self, file: StateFile, name: str, limit: int, counters: Counter[str]) -> None:
        """`limit`: entries; `counters` gets `<name>_forgotten` for want of room and `<name>_expired` for age."""
        self._table = file.tables[name]
        self._limit = limit
        self._forgotten, self._expired = f"{name}_forgotten", f"{name}_expired"
        self._counters = counters
        self._swept = os.urandom(KEY_BYTES)
        """Where the latest sweep stopped; each process begins somewhere else."""

    def get(self, transaction: Transaction, key: bytes) -> tuple[int, bytes] | None:
        """When it was used last, and the value."""
        found = transaction.get(key, db=self._table)
        return None if found is None else (int.from_bytes(found[:_TIME_BYTES], "big"), found[_TIME_BYTES:])

    def put(self, transaction: Transaction, key: bytes, value: bytes, now_ns: int) -> None:
        """Where the table is full and the key is new, of a few entries the one that was used least lately goes."""
        written = now_ns.to_bytes(_TIME_BYTES, "big") + value
        if transaction.replace(key, written, db=self._table) is None:
            excess = transaction.stat(self._table)["entries"] - self._limit
            for _ in range(min(excess, 2)):  # where the limit was made smaller, it is reached step by step
                self._forget_one(transaction, key)

    def delete(self, transaction: Transaction, key: bytes) -> None:
        transaction.delete(key, db=self._table)

    def count(self, transaction: Transaction) -> int:
        return int(transaction.stat(self._table)["entries"])

    def sweep(self, transaction: Transaction, before_ns: int, entries: int) -> int:
        """Forget what was not used since `before_ns`, among the next `entries`; returns how many those were."""
        cursor = transaction.cursor(self._table)
        there = cursor.set_range(self._swept) or cursor.first()
        oldest = max(before_ns, 0).to_bytes(_TIME_BYTES, "big")
        looked = 0
        while there and looked < entries:
            looked += 1
            if cursor.value()[:_TIME_BYTES] < oldest:
                cursor.delete()  # stands on the next one then
                there = cursor.key() != b""
                self._counters[self._expired] += 1
            else:
                there = cursor.next()
        self._swept = cursor.key() if there else b""
        return looked

    def _forget_one(self, transaction: Transaction, spared: bytes) -> None:
        cursor = transaction.cursor(self._table)
        start = os.urandom(KEY_BYTES)
        found = [*islice(_from(cursor, start, spared), _SAMPLE)] or [*islice(_from(cursor, b"", spared), _SAMPLE)]
        if found:
            transaction.delete(min(found)[1], db=self._table)
            self._counters[self._forgotten] += 1


def _from(cursor: "lmdb.Cursor[bytes]", start: bytes, spared: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(time, key) of the entries from this key on."""
    there = cursor.set_range(start)
    while there:
        if cursor.key() != spared:
            yield cursor.value()[:_TIME_BYTES], cursor.key()
        there = cursor.next()
