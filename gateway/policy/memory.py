"""What agents found in sessions before: counts and first times by category, never content. One worker's, bounded."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.model.exchange import Exchange

_SESSIONS = 20_000
_CATEGORIES = 64
"""Of one session. Policy files name them, so there are few."""
_Key = tuple[str, str]
"""Workspace and session id: within a workspace an id is one session."""


class _Remembered(NamedTuple):
    counts: dict[str, int]
    first_ns: dict[str, int]
    """Unix time."""


class SessionMemory:
    """Not thread-safe. A session that has been found in longest ago is forgotten first, and counted."""

    def __init__(self, limit: int = _SESSIONS) -> None:
        self.counters: Counter[str] = Counter()
        """`sessions_forgotten`."""
        self._limit = limit
        self._sessions: OrderedDict[_Key, _Remembered] = OrderedDict()

    def note(self, exchange: Exchange, categories: Iterable[str]) -> None:
        """One direction of this exchange has these."""
        key = _key(exchange)
        if key is None:
            return
        remembered = self._sessions.get(key)
        if remembered is None:
            remembered = self._sessions[key] = _Remembered({}, {})
            if len(self._sessions) > self._limit:
                self._sessions.popitem(last=False)
                self.counters["sessions_forgotten"] += 1
        self._sessions.move_to_end(key)
        for category in categories:
            if category in remembered.counts or len(remembered.counts) < _CATEGORIES:
                remembered.counts[category] = remembered.counts.get(category, 0) + 1
                remembered.first_ns.setdefault(category, exchange.started_ns)

    def findings(self, exchange: Exchange) -> Mapping[str, int]:
        remembered = self._of(exchange)
        return remembered.counts if remembered is not None else {}

    def first_seen(self, exchange: Exchange) -> Mapping[str, datetime]:
        remembered = self._of(exchange)
        first = remembered.first_ns.items() if remembered is not None else ()
        return {category: datetime.fromtimestamp(ns / 1e9, UTC) for category, ns in first}

    def _of(self, exchange: Exchange) -> _Remembered | None:
        key = _key(exchange)
        return self._sessions.get(key) if key is not None else None


def _key(exchange: Exchange) -> _Key | None:
    session = exchange.session
    return (exchange.workspace, session.id) if session is not None else None
