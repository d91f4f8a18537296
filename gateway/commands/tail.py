"""`spangate tail`: exchanges as they are stored, one line each. Polls the store; needs no running gateway."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from gateway.commands.opening import StoreMissingError, failed, opened
from gateway.commands.printing import Printer, one_line, short
from gateway.store.found import ExchangeRow
from gateway.store.queries import MAX_PAGE, Reader
from gateway.store.reading import moment

_POLL_S = 0.25
_BEFORE = 10
"""Lines shown of what was stored before the tail began."""


def tail(
    path: str | Path,
    out: TextIO,
    *,
    session: str | None = None,
    outcome: str | None = None,
    once: bool = False,
    wait: Callable[[float], None] = time.sleep,
    errors: TextIO | None = None,
) -> int:
    """Follow until Ctrl-C; with `once`, print what is stored and end. Returns the exit code."""
    try:
        with opened(path) as reader:
            _follow(reader, Printer(out), lambda row: _wanted(row, session, outcome), once, wait)
    except StoreMissingError as error:
        return failed(str(error), errors)
    except KeyboardInterrupt:
        return 0
    return 0


def _follow(
    reader: Reader, printer: Printer, wanted: Callable[[ExchangeRow], bool], once: bool, wait: Callable[[float], None]
) -> None:
    after = 0 if once else max(0, reader.newest() - _BEFORE)
    while True:
        rows = reader.since(after)
        for row in rows:
            if wanted(row):
                printer.line(line_of(row, printer))
        printer.flush()
        if rows:
            after = rows[-1].n
        if len(rows) == MAX_PAGE:
            continue
        if once:
            return
        wait(_POLL_S)


def _wanted(row: ExchangeRow, session: str | None, outcome: str | None) -> bool:
    return (session is None or row.session_id == session) and (outcome is None or row.outcome == outcome)


def line_of(row: ExchangeRow, printer: Printer) -> str:
    tokens = f"{_said(row.input_tokens)}/{_said(row.output_tokens)}"
    ended = "" if row.end == "finished" else f"  {row.end}"
    problem = row.refusal_code or row.error_type
    return (
        f"{printer.coloured(moment(row.started_ns)[11:19], 'dim')}  "
        + printer.coloured(f"{row.outcome:<9}", row.outcome)
        + f"  {row.status:>3}  {short(one_line(row.provider), 12):<12}"
        + f"  {short(one_line(row.response_model or row.model or row.path), 28):<28}"
        + f"  {row.duration_ms:>7.0f} ms  {tokens:>13}  {one_line(row.session_id)} #{row.session_sequence}"
        + ended
        + (f"  {one_line(problem)}" if problem else "")
    )


def _said(tokens: int | None) -> str:
    return "-" if tokens is None else str(tokens)
