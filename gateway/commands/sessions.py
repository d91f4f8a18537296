"""`spangate sessions list`, `show`, `export`: sessions and threads, for people and for scripts. Reads only."""

from pathlib import Path
from typing import Literal, TextIO

import msgspec

from gateway.commands.opening import StoreMissingError, failed, no_session, opened
from gateway.commands.printing import Printer, counted, json_text, lines, one_line, short
from gateway.commands.sessions_export import turns, write_csv, write_json, write_sessions
from gateway.store.cursors import SessionCursor
from gateway.store.found import SessionRow, Turn
from gateway.store.queries import MAX_PAGE, Reader
from gateway.store.reading import ReadMessage, added, answered, dollars, moment
from gateway.store.views import session_view

Form = Literal["table", "json", "csv"]


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
        write_sessions(rows, out)
    else:
        _write_table(rows, Printer(out))
    return 0


def show_session(
    path: str | Path,
    out: TextIO,
    session_id: str,
    *,
    workspace: str | None = None,
    form: Form = "table",
    errors: TextIO | None = None,
) -> int:
    """A session's thread as a person reads it, its traces as the API gives them, or its exchanges as lines."""
    try:
        with opened(path) as reader:
            session = reader.session(session_id, workspace)
            if session is None:
                return failed(no_session(session_id, path), errors)
            if form == "json":
                write_json(reader, session, out)
            elif form == "csv":
                write_csv(reader, session, out)
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
    priced = any(row.cost_nusd is not None for row in rows)
    cells = [_headings(priced), *(_cells(row, priced) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = printer.columns - sum(widths[:-1]) - 2 * len(widths[:-1])
    for index, (*others, conversation) in enumerate(cells):
        padded = [cell.ljust(width) for cell, width in zip(others, widths, strict=False)]
        padded.append(short(conversation, max(room, _NARROWEST)))
        if index == 0:
            printer.line(printer.coloured("  ".join(padded).rstrip(), "bold"))
            continue
        padded[_ATTENTION] = printer.coloured(padded[_ATTENTION], rows[index - 1].attention)
        printer.line("  ".join(padded).rstrip())


_ATTENTION = 2
_NARROWEST = 20


def _headings(priced: bool) -> tuple[str, ...]:
    cost = ("COST",) if priced else ()
    return ("LAST ACTIVITY", "STATE", "ATTENTION", "EXCHANGES", "TOKENS", *cost, "MODEL", "SESSION", "CONVERSATION")


def _cells(row: SessionRow, priced: bool) -> tuple[str, ...]:
    return (
        moment(row.last_ns)[:19].replace("T", " "),
        row.lifecycle,
        row.attention.replace("_", " "),
        f"{row.exchanges}, {row.failures} failed" if row.failures else str(row.exchanges),
        f"{row.input_tokens or '–'}/{row.output_tokens or '–'}",
        *((dollars(row.cost_usd, row.unpriced),) if priced else ()),
        short(one_line(row.models), 28),
        one_line(row.id),
        short(one_line(row.preview), 60),
    )


def _write_thread(reader: Reader, session: SessionRow, printer: Printer) -> None:
    printer.line(printer.coloured(f"session {one_line(session.id)}", "bold"))
    for facts in (_life(session, printer), _totals(session)):
        printer.line(" · ".join(facts))
    if session.previous_id:
        printer.line(f"continues {one_line(session.previous_id)}")
    if session.continued_by:
        printer.line(f"continued by {', '.join(map(one_line, session.continued_by))}")
    for turn in turns(reader, session):
        _write_turn(turn, printer)


def _life(session: SessionRow, printer: Printer) -> list[str]:
    why = {"end": "closed by its last call", "idle": "closed, as it was idle for too long", None: "open"}
    asks = printer.coloured(session.attention.replace("_", " "), session.attention)
    who = [one_line(fact) for fact in (session.user or "", session.origin) if fact]
    return [why[session.closed_by], f"attention: {asks}", *who]


def _totals(session: SessionRow) -> list[str]:
    failures = f", {session.failures} failed" if session.failures else ""
    facts = [counted(session.exchanges, "exchange") + failures]
    facts.append(f"{session.input_tokens} tokens in, {session.output_tokens} out")
    if session.cost_nusd is not None:
        facts.append(dollars(session.cost_usd, session.unpriced))
    if session.models:
        facts.append(one_line(session.models.replace("\n", ", ")))
    if session.tool_calls:
        facts.append(f"{counted(session.tool_calls, 'tool call')} ({one_line(session.tools.replace(chr(10), ', '))})")
    return facts


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
