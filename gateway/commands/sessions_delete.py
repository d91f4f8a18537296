"""`spangate sessions delete`: one session out of the store. Works whether or not the gateway runs; asks nothing."""

import sqlite3
from pathlib import Path
from typing import TextIO

from gateway.commands.opening import StoreMissingError, failed, no_session, opened
from gateway.commands.printing import counted, one_line
from gateway.store.deletion import PATIENCE_S, SessionInUseError, delete_session


def remove_session(
    path: str | Path,
    out: TextIO,
    session_id: str,
    *,
    workspace: str | None = None,
    patience_s: float = PATIENCE_S,
    errors: TextIO | None = None,
) -> int:
    """Returns the exit code; what was deleted goes to `out`."""
    try:
        with opened(path) as reader:
            session = reader.session(session_id, workspace)
        if session is None:
            return failed(no_session(session_id, path), errors)
        deleted = delete_session(Path(path), session, patience_s=patience_s)
    except (StoreMissingError, SessionInUseError) as error:
        return failed(str(error), errors)
    except sqlite3.Error as error:
        return failed(f"{path} cannot be written ({error}); nothing was deleted, try again", errors)
    out.write(
        f"deleted {one_line(session.id)}: {counted(deleted.exchanges, 'exchange')}, "
        f"{counted(deleted.messages, 'message')} that no other session has\n"
    )
    return 0
