"""Opens the store for a command: what is wrong goes to stderr, with the path and the remedy."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gateway.commands.printing import one_line
from gateway.store.queries import Reader
from gateway.store.tables import UnusableDatabaseError


class StoreMissingError(Exception):
    """Why there is nothing to read: the path and the remedy."""


def failed(reason: str, errors: TextIO | None) -> int:
    """The exit code of a command that could not do what was asked."""
    (errors or sys.stderr).write(f"Error: {reason}\n")
    return 1


def no_session(session_id: str, path: str | Path) -> str:
    return f"no session {one_line(session_id)} in {path}; see `spangate sessions list`"


@contextmanager
def opened(path: str | Path) -> Iterator[Reader]:
    """Raises StoreMissingError."""
    try:
        reader = Reader(Path(path))
    except FileNotFoundError:
        raise StoreMissingError(
            f"no database at {path}; start the gateway once (`spangate run`), "
            "or name its config: --config FILE (extensions::storage::url says where the database is)"
        ) from None
    except UnusableDatabaseError as error:
        raise StoreMissingError(str(error)) from error
    try:
        yield reader
    finally:
        reader.close()
