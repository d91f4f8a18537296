"""A session's row says the same in whatever order, and in whatever batches, its exchanges arrive."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import msgspec
import pytest

from gateway.link.records import ExchangeRecord
from gateway.store import rows
from gateway.store.found import SessionRow
from gateway.store.queries import Reader
from gateway.store.sqlite import connect_writer
from gateway.store.tables import MIGRATIONS
from tests.link.fakes import a_record
from tests.store.conftest import Put

_ALIKE = 24
"""Permutations of four."""
_TALK = [
    a_record(
        "d", session_sequence=1, started_ns=50, session_source="explicit", origin="curl", preview="hi", model="m3"
    ),
    a_record(
        "c",
        session_sequence=2,
        started_ns=20,
        session_source="window",
        origin="python",
        preview="",
        user="ann",
        model="m1",
        previous_session="older",
    ),
    a_record("b", session_sequence=3, started_ns=30, session_source="new", origin="zsh", user="zoe", provider="other"),
    a_record("a", session_sequence=4, started_ns=40, session_source="body", origin="go", user="bob", session_end=True),
]


def test_a_session_is_described_by_its_first_exchange_in_every_order(put: Put, reader: Reader) -> None:
    for number, order in enumerate(permutations(_TALK)):
        talk = _of_session(f"s{number}", order)
        put(talk[: number % 4])
        put(talk[number % 4 :])
    told = [_told(reader, f"s{number}") for number in range(_ALIKE)]
    assert told == [told[0]] * _ALIKE
    first = told[0]
    assert (first.source, first.origin, first.preview, first.previous_id) == ("explicit", "curl", "hi", None)
    assert (first.user, first.models, first.providers) == ("ann", "gpt-4o\nm1\nm3", "openai\nother")
    assert (first.first_ns, first.exchanges, first.ended) == (20, 4, 1)


def test_a_session_is_called_by_the_first_that_says_something_in_every_order(put: Put, reader: Reader) -> None:
    talk = [
        a_record(str(n), session_sequence=n, preview=said, origin=f"o{n}")
        for n, said in enumerate(["", "", "Mend the roof", "Thanks"])
    ]
    for number, order in enumerate(permutations(talk)):
        for record in _of_session(f"s{number}", order):
            put([record])
    told = [_told(reader, f"s{number}") for number in range(_ALIKE)]
    assert told == [told[0]] * _ALIKE
    assert (told[0].preview, told[0].origin) == ("Mend the roof", "o0")


@pytest.mark.parametrize("many", [4, 30])
def test_a_session_is_the_same_with_each_exchange_in_a_batch_of_its_own(many: int, put: Put, reader: Reader) -> None:
    talk = [a_record(str(n), session_sequence=n, model=f"m{n % 25:02}", origin=f"o{n}") for n in range(many)]
    for record in _of_session("up", talk):
        put([record])
    for record in _of_session("down", talk[::-1]):
        put([record])
    put(_of_session("at once", talk))
    up = _told(reader, "up")
    assert up == _told(reader, "down") == _told(reader, "at once")
    assert up.origin == "o0"
    assert up.models.split("\n") == [f"m{n:02}" for n in range(min(many, 20))]


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ({"session_sequence": 9, "started_ns": 7}, {"session_sequence": 10, "started_ns": 7}),
        ({"session_sequence": 1, "started_ns": 9}, {"session_sequence": 1, "started_ns": 10}),
        ({"session_sequence": 1, "started_ns": 7, "id": "a"}, {"session_sequence": 1, "started_ns": 7, "id": "b"}),
    ],
    ids=["sequence", "then time", "then id"],
)
def test_first_is_by_sequence_then_time_then_id(
    first: dict[str, object], later: dict[str, object], put: Put, reader: Reader
) -> None:
    put([a_record(**{"id": "y", **later}, origin="later"), a_record(**{"id": "x", **first}, origin="first")])  # type: ignore[arg-type]
    assert _told(reader, "s1").origin == "first"


def test_a_session_stored_by_an_earlier_version_keeps_what_describes_it(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(MIGRATIONS[0] + "PRAGMA application_id = 0x53504754; PRAGMA user_version = 1;")
        connection.executemany(
            "INSERT INTO sessions VALUES"
            " (NULL, ?, 'default', 1, 1, 1, 0, 0, 0, 0, ?, 'new', 'old', 'm', 'p', ?, NULL, 0)",
            [("named", "ann", "before"), ("nobody's", None, "")],
        )
        connection.commit()
    with closing(connect_writer(path)) as connection, connection:
        from_then_on = [a_record(name, session_id=name, user="bob", origin="now") for name in ("named", "nobody's")]
        rows.insert(connection, from_then_on, day=1)
    reader = Reader(path)
    told = [_told(reader, name) for name in ("named", "nobody's")]
    assert [(row.user, row.origin, row.preview) for row in told] == [("ann", "old", "before"), ("bob", "old", "hello")]
    reader.close()


def _of_session(session_id: str, records: Sequence[ExchangeRecord]) -> list[ExchangeRecord]:
    return [
        msgspec.structs.replace(record, id=f"{record.id} of {session_id}", session_id=session_id) for record in records
    ]


def _told(reader: Reader, session_id: str) -> SessionRow:
    """The session's row, without what names the row itself."""
    row = reader.session(session_id)
    assert row is not None
    return replace(row, n=0, id="")
