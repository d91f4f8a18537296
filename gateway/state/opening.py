"""From what a user wrote to an engine and the secret that goes with it."""

import os

import structlog

from gateway.contracts import SessionState
from gateway.state.config import SessionStateConfig
from gateway.state.fallback import FallbackState
from gateway.state.memory import MemoryState
from gateway.state.patience import PatientState
from gateway.state.secret import kept_secret

_log = structlog.get_logger("gateway.state")


def session_state(
    config: SessionStateConfig, secret: bytes, window_s: float, close_after_s: float, workers: int
) -> SessionState:
    """The engine for one of so many workers; `secret` is `principals_secret`'s.

    Never raises: what cannot be opened is tried again later.
    """
    if config.valkey is not None:
        from gateway.state.valkey import ValkeyState  # only who shares sessions waits for its import

        return ValkeyState(
            config.valkey, secret, window_s, close_after_s, config.limit, config.keep, config.timeout, config.ca_file
        )
    folder = config.folder
    if folder is None:
        return MemoryState(window_s, close_after_s, config.limit)
    from gateway.state.lmdb import LmdbState
    from gateway.state.lmdb_file import StateBusyError, StateFileError

    shared = FallbackState(
        lambda wait_s: LmdbState(folder, secret, window_s, close_after_s, config.limit, config.keep, wait_s),
        StateFileError,
        MemoryState(window_s, close_after_s, config.limit),
        busy=StateBusyError,
    )
    return PatientState(shared) if workers > 1 else shared


def principals_secret(config: SessionStateConfig) -> bytes:
    """What makes principals of credentials: the same for all who share the state, at any time.

    One for Valkey is a proposal: that who comes first makes, all take when they start.
    """
    if config.folder is None:
        return os.urandom(32)  # in memory principals are compared within this process only: it need not outlive it
    try:
        return kept_secret(config.folder)
    except OSError as error:
        _log.error(
            "the secret beside the session state cannot be had; sessions are this worker's own", error=str(error)
        )
        return os.urandom(32)
