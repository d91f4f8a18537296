"""What is stored of a session is the same whenever its exchanges arrive, in whatever batches, and swept in between."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from gateway.link.records import ExchangeRecord
from gateway.store import rows
from gateway.store.tables import migrate
from tests.link.fakes import a_record

_DAY_NS = 86400 * 10**9
_NAMES = st.sampled_from(["", "a", "b", "c\nd", "e"])
_TIMES = st.integers(0, 12).map(lambda half_days: half_days * _DAY_NS // 2)
_TOKENS = st.none() | st.integers(0, 2**40)


@st.composite
def _records(draw: st.DrawFn) -> list[ExchangeRecord]:
    """Of a few sessions over a few days; places may be taken twice, and inputs come in any order of time."""
    return [
        a_record(
            f"e{number}",
            session_id=draw(st.sampled_from(["s1", "s2"])),
            session_sequence=draw(st.integers(1, 4)),
            session_source=draw(st.sampled_from(["explicit", "window"])),
            session_end=draw(st.sampled_from([False, False, False, True])),
            previous_session=draw(st.none() | st.just("before")),
            user=draw(st.none() | st.just("ann") | st.just("bob")),
            started_ns=(started := draw(_TIMES)),
            ended_ns=started + draw(st.integers(0, _DAY_NS)),
            model=draw(_NAMES),
            origin=draw(_NAMES),
            preview=draw(_NAMES),
            outcome=draw(st.sampled_from(["allowed", "flagged", "redacted", "escalated", "blocked"])),
            end=draw(st.sampled_from(["finished", "client_gone", "blocked"])),
            refusal_code=draw(st.none() | st.just("session_closed")),
            status=draw(st.sampled_from([101, 200, 500])),
            operation=draw(st.sampled_from(["chat", "count_tokens", ""])),
            input_tokens=draw(_TOKENS),
            output_tokens=draw(_TOKENS),
            cache_read_tokens=draw(_TOKENS),
            cache_write_tokens=draw(_TOKENS),
            reasoning_tokens=draw(_TOKENS),
            cost_nusd=draw(st.none() | st.integers(0, 2**40)),
            tool_calls=draw(st.integers(0, 3)),
            tools=draw(_NAMES),
        )
        for number in range(draw(st.integers(1, 7)))
    ]


@given(_records(), st.data())
def test_order_batches_and_sweeps_make_no_difference(records: list[ExchangeRecord], data: st.DataObject) -> None:
    in_order = stored([records], sweeps=[])
    shuffled = data.draw(st.permutations(records + data.draw(st.lists(st.sampled_from(records), max_size=3))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    batches = [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    sweeps = data.draw(st.lists(_TIMES, min_size=len(batches), max_size=len(batches)))
    assert stored(batches, sweeps) == in_order


def stored(batches: Sequence[Sequence[ExchangeRecord]], sweeps: Sequence[int]) -> list[tuple[object, ...]]:
    """The sessions' rows, after a last look at day 6."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, "memory")
        rows.prepare(connection)
        for number, batch in enumerate(batches):
            rows.insert(connection, batch, day=1)
            if number < len(sweeps):
                rows.close_idle(connection, sweeps[number], 100)
        rows.close_idle(connection, 6 * _DAY_NS, 100)
        columns = [column for (column,) in connection.execute("SELECT name FROM pragma_table_info('sessions')")]
        columns.remove("n")
        return connection.execute(f"SELECT {', '.join(columns)} FROM sessions ORDER BY id").fetchall()
