"""One session as JSON or CSV, a page at a time: for `sessions show` and `export`. Reads only."""

import csv
from collections.abc import Iterator, Sequence
from typing import TextIO

import msgspec

from gateway.commands.printing import json_text, one_line
from gateway.store.cursors import TurnCursor
from gateway.store.found import ExchangeRow, SessionRow, Turn
from gateway.store.queries import MAX_PAGE, Reader
from gateway.store.reading import moment, status_of
from gateway.store.views import SessionView, session_view, traces_of

_EXCHANGE_COLUMNS = (
    *("session", "sequence", "header", "exchange", "parent", "started", "duration_ms", "participant", "user"),
    *("provider", "model", "http_status", "status", "outcome", "end", "error", "usage", "input_tokens"),
    *("output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd"),
    *("tool_calls", "tools"),
)


def turns(reader: Reader, session: SessionRow) -> Iterator[Turn]:
    after: TurnCursor | None = None
    while True:
        page = reader.turns(session, MAX_PAGE, after)
        yield from page.turns
        after = page.next
        if after is None:
            return


def write_json(reader: Reader, session: SessionRow, out: TextIO) -> None:
    """`{"session": …, "traces": […]}`, as the API gives them."""
    out.write('{"session":' + json_text(msgspec.json.encode(session_view(session))) + ',"traces":[')
    between = ""
    for turn in turns(reader, session):
        for trace in traces_of(turn):
            out.write(between + json_text(msgspec.json.encode(trace)))
            between = ",\n"
    out.write("]}\n")


def write_csv(reader: Reader, session: SessionRow, out: TextIO) -> None:
    """An exchange a line; without what was said."""
    write_rows(_EXCHANGE_COLUMNS, (_exchange(turn.exchange) for turn in turns(reader, session)), out)


def write_sessions(rows: Sequence[SessionRow], out: TextIO) -> None:
    """A session a line."""
    columns = SessionView.__struct_fields__
    views = map(session_view, rows)
    write_rows(columns, ([getattr(view, column) for column in columns] for view in views), out)


def write_rows(columns: Sequence[str], rows: Iterator[Sequence[object]], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(map(_cell, row))


def _exchange(row: ExchangeRow) -> Sequence[object]:
    return (
        *(row.session_id, row.session_sequence, bool(row.session_header), row.id, row.parent_exchange),
        *(moment(row.started_ns), row.duration_ms, row.participant, row.user),
        *(row.provider, row.response_model or row.model, row.status, status_of(row), row.outcome, row.end),
        *(row.refusal_code or row.error_type, row.usage_state, row.input_tokens, row.output_tokens),
        *(row.cache_read_tokens, row.cache_write_tokens, row.reasoning_tokens, row.cost_usd),
        *(row.tool_calls, row.tools.replace("\n", " ")),
    )


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = " ".join(value)
    if not isinstance(value, str):
        return value
    text = one_line(value)
    # SECURITY: a spreadsheet takes a cell that begins so for a formula, and clients choose this text.
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
