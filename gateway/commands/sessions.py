"""`spangate sessions list` and `show`: sessions and threads from the store, for people and for scripts. Reads only."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TextIO

import msgspec

from gateway.commands.opening import StoreMissingError, failed, opened
from gateway.commands.printing import Printer, json_text, lines, one_line, short
from gateway.store.cursors import SessionCursor
from gateway.store.queries import MAX_PAGE, Reader, SessionRow, Turn
from gateway.store.reading import ReadMessage, added, answered, moment
from gateway.store.views import session_view, traces_of

Form = Literal["table", "json", "csv"]
_HEADINGS: tuple[str, ...] = ("LAST ACTIVITY", "OUTCOME", "EXCHANGES", "TOKENS", "MODEL", "SESSION", "CONVERSATION")
_COLUMNS = (
    "id",
    "workspace",
    "started",
    "last_activity",
    "outcome",
    "exchanges",
    "failures",
    "input_tokens",
    "output_tokens",
    "user",
    "origin",
    "source",
    "models",
    "providers",
    "preview",
)


def list_sessions(
    path: str | Path, out: TextIO, *, limit: int = 50, form: Form = "table", errors: TextIO | None = None
) -> int:
    """Newest first; returns the exit code. What is wrong goes to `errors`, stderr where it is left out."""
    try:
        with opened(path) as reader:
            rows = _newest(reader, limit)
    except StoreMissingError as error:
        return failed(str(error), errors)
    if form == "json":
        out.write(json_text(msgspec.json.encode([session_view(row) for row in rows])) + "\n")
    elif form == "csv":
        _write_csv(rows, out)
    else:
        _write_table(rows, Printer(out))
    return 0


def show_session(
    path: str | Path, out: TextIO, session_id: str, *, as_json: bool = False, errors: TextIO | None = None
) -> int:
    """A session's thread as a person reads it, or its traces as the API gives them."""
    try:
        with opened(path) as reader:
            session = reader.session(session_id)
            if session is None:
                return failed(f"no session {one_line(session_id)} in {path}; see `spangate sessions list`", errors)
            if as_json:
                _write_json_thread(reader, session, out)
            else:
                _write_thread(reader, session, Printer(out))
    except StoreMissingError as error:
        return failed(str(error), errors)
    return 0


def _newest(reader: Reader, limit: int) -> list[SessionRow]:
    rows: list[SessionRow] = []
    before: SessionCursor | None = None
    while len(rows) < limit:
        page = reader.sessions(min(limit - len(rows), MAX_PAGE), before)
        rows += page.sessions
        before = page.next
        if before is None:
            break
    return rows


def _write_table(rows: list[SessionRow], printer: Printer) -> None:
    if not rows:
        printer.line("no sessions yet: point an SDK's base URL at the gateway and make a call")
        return
    cells = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for index, row in enumerate(cells):
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if index == 0:
            printer.line(printer.coloured("  ".join(padded).rstrip(), "bold"))
            continue
        padded[1] = printer.coloured(padded[1], row[1])
        printer.line("  ".join(padded).rstrip())


def _cells(row: SessionRow) -> tuple[str, ...]:
    return (
        moment(row.last_ns)[:19].replace("T", " "),
        row.outcome,
        str(row.exchanges),
        f"{row.input_tokens}/{row.output_tokens}",
        short(one_line(row.models), 28),
        one_line(row.id),
        short(one_line(row.preview), 60),
    )


def _write_csv(rows: list[SessionRow], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        view = session_view(row)
        writer.writerow([_csv_cell(getattr(view, column)) for column in _COLUMNS])


def _csv_cell(value: object) -> object:
    if isinstance(value, list):
        value = " ".join(value)
    if not isinstance(value, str):
        return value
    text = one_line(value)
    # SECURITY: a spreadsheet takes a cell that begins so for a formula, and clients choose this text.
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _turns(reader: Reader, session: SessionRow) -> Iterator[Turn]:
    after: int | None = 0
    while after is not None:
        page = reader.turns(session, MAX_PAGE, after)
        yield from page.turns
        after = page.next


def _write_json_thread(reader: Reader, session: SessionRow, out: TextIO) -> None:
    traces = [trace for turn in _turns(reader, session) for trace in traces_of(turn)]
    thread = {"session": session_view(session), "traces": traces}
    out.write(json_text(msgspec.json.encode(thread)) + "\n")


def _write_thread(reader: Reader, session: SessionRow, printer: Printer) -> None:
    printer.line(printer.coloured(f"session {one_line(session.id)}", "bold"))
    facts = [f"{session.exchanges} exchange{'s' if session.exchanges != 1 else ''}"]
    facts += [f"{session.input_tokens} tokens in, {session.output_tokens} out", one_line(session.models)]
    facts += [one_line(fact) for fact in (session.user or "", session.origin) if fact]
    printer.line(f"{' · '.join(facts)} · " + printer.coloured(session.outcome, session.outcome))
    for turn in _turns(reader, session):
        _write_turn(turn, printer)


def _write_turn(turn: Turn, printer: Printer) -> None:
    exchange = turn.exchange
    model = one_line(exchange.response_model or exchange.model or f"{exchange.method} {exchange.path}")
    head = f"{moment(exchange.started_ns)[:19].replace('T', ' ')}  {model}  {exchange.duration_ms:.0f} ms"
    printer.line()
    printer.line(
        f"#{exchange.session_sequence}  {printer.coloured(head, 'dim')}  "
        + printer.coloured(exchange.outcome, exchange.outcome)
        + (f"  {exchange.end}" if exchange.end != "finished" else "")
    )
    if turn.omitted:
        printer.line(f"  {turn.omitted} more message{'s' if turn.omitted > 1 else ''} before these")
    for message in added(turn) + answered(turn):
        _write_message(message, printer)
    if exchange.refusal_code or exchange.error_type:
        printer.line(
            f"  {printer.coloured('error', 'blocked')}: {one_line(exchange.refusal_code or exchange.error_type or '')}"
        )
    for said in turn.assessments:
        if said.outcome != "allowed" or said.state != "evaluated":
            reason = f": {one_line(said.reason)}" if said.reason else ""
            printer.line(
                f"  {printer.coloured(said.outcome, said.outcome)} by {one_line(said.agent)} ({said.direction}){reason}"
            )


def _write_message(message: ReadMessage, printer: Printer) -> None:
    role = printer.coloured(one_line(message.role), "bold")
    for part in message.parts:
        label = f" [{one_line(part.label)}]" if part.label else ""
        first, *following = lines(part.text)
        printer.line(f"  {role}{label}: {first}".rstrip())
        for text in following:
            printer.line(f"    {text}")
