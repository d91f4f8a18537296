"""Every engine for session state runs through the same suite, `test_contract.py`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.contracts import SessionState
from gateway.state.fallback import FallbackState
from gateway.state.lmdb import LmdbState
from gateway.state.lmdb_file import StateFileError
from gateway.state.memory import MemoryState
from gateway.state.patience import PatientState

SECRET = b"secret"
"""Of engines that take one."""


def memory(folder: Path) -> SessionState:
    return MemoryState(45.0, 86400.0)


def lmdb(folder: Path) -> LmdbState:
    return LmdbState(folder, SECRET, 45.0, 86400.0)


def lmdb_with_memory_behind_it(folder: Path) -> SessionState:
    return FallbackState(lambda wait_s: lmdb(folder), StateFileError, MemoryState(45.0, 86400.0))


ENGINES: dict[str, Callable[[Path], SessionState]] = {
    "memory": memory,
    "lmdb": lmdb,
    "lmdb for several workers": lambda folder: PatientState(lmdb(folder), [0.0]),
    "lmdb with memory behind it": lmdb_with_memory_behind_it,
}
"""How to open each one, empty, with a window of 45 s and closing after 24 h. A new engine is a line here; the folder is
for one that needs files."""


@pytest.fixture(params=sorted(ENGINES))
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionState]:
    state = ENGINES[request.param](tmp_path)
    yield state
    state.close()
