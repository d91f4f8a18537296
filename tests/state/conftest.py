"""Every engine for session state runs through the same suite, `test_contract.py`."""

from collections.abc import Callable

import pytest

from gateway.contracts import SessionState
from gateway.state.memory import MemoryState


def memory(window_s: float = 45.0, close_after_s: float = 86400.0) -> SessionState:
    return MemoryState(window_s, close_after_s)


ENGINES: dict[str, Callable[[], SessionState]] = {"memory": memory}
"""How to open each one, empty, with a window of 45 s and closing after 24 h. A new engine is a line here."""


@pytest.fixture(params=sorted(ENGINES))
def state(request: pytest.FixtureRequest) -> SessionState:
    return ENGINES[request.param]()
