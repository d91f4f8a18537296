"""What conditions and detectors look at: one direction of one exchange. Each fact is looked up when first asked for."""

from collections.abc import Mapping, Sequence

from gateway.contracts import Call, Fact
from gateway.model.exchange import Exchange
from gateway.model.message import Entry
from gateway.model.verdict import Direction
from gateway.policy.facts import FACTS, Asked
from gateway.policy.memory import SessionMemory
from gateway.policy.tool_calls import calls_in


class Seen:
    """A `contracts.Sight`."""

    __slots__ = ("_calls", "_facts", "direction", "entries", "exchange", "memory")

    def __init__(
        self,
        exchange: Exchange,
        direction: Direction,
        entries: Sequence[Entry],
        memory: SessionMemory | None = None,
        given: Mapping[str, Fact] | None = None,
    ) -> None:
        """`given`: facts that are not looked up, because a case says what they are."""
        self.exchange = exchange
        self.direction = direction
        self.entries = entries
        self.memory = memory
        self._facts: dict[str, Fact] = dict(given) if given else {}
        self._calls: Sequence[Call] | None = None

    def fact(self, name: str) -> Fact:
        try:
            return self._facts[name]
        except KeyError:
            found = self._facts[name] = FACTS[name].of(Asked(self.exchange, self.direction, self.memory))
            return found

    def calls(self) -> Sequence[Call]:
        if self._calls is None:
            self._calls = calls_in(self.entries)
        return self._calls
