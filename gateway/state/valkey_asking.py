"""What a claim asks of Valkey: a look-up where this worker cannot know, and the commit of what the rules decided.

A look-up is one round trip, and so is a commit. In a cluster a session's commit is one script in one slot; before it go
keys that count once, each in its own slot, and behind it the window, where it decides between two who begin. What loses
there takes back the session that it began, of which nobody can have known.
"""

from collections.abc import Sequence

from gateway.model.session import Claim, Place
from gateway.state.valkey_known import Known
from gateway.state.valkey_nodes import Nodes
from gateway.state.valkey_records import (
    SESSION_PREFIX,
    SHORT,
    Change,
    Prompt,
    decode_pointer,
    encode,
    readable,
)
from gateway.state.valkey_server import FAILURES, ValkeyServer
from gateway.state.valkey_view import Looked, View


class ValkeyDownError(Exception):
    """It did not answer, or cannot be asked at the moment."""


class Asking:
    def __init__(self, server: ValkeyServer, nodes: Nodes, known: Known) -> None:
        self._server = server
        self._nodes = nodes
        self.known = known

    # The look-up

    async def look(self, claim: Claim, looked: Looked) -> None:
        """For an id that was not named. What is still to be told is known here better. Raises ValkeyDownError."""
        untold = self.known.untold
        pointers = {
            name: key.digest[:SHORT] for key in claim.keys if (name := self.known.names.turn(key.digest)) not in untold
        }
        others: list[bytes] = []
        if claim.window_key is not None:
            others = [self.known.names.window(claim.window_key), self.known.names.history(claim.window_key)]
            others = others if untold.keys().isdisjoint(others) else []
        if not pointers and not others:
            return
        if self._server.cluster:
            values = await self._values([*pointers, *others], looked)
        else:
            values = await self._followed(list(pointers), others)
        for name, short in pointers.items():
            if name in values:
                looked.turns[short] = values[name]
        if self._server.cluster:
            await self._sessions(looked)
        if others and all(name in values for name in others):
            looked.window = True
            looked.prompt = values[others[0]]
            looked.history_ns = int(values[others[1]]) if values[others[1]].isdigit() else None

    async def _followed(self, pointers: list[bytes], others: list[bytes]) -> dict[bytes, bytes]:
        try:
            found = await self._server.look(pointers, others)
        except FAILURES as error:
            raise self._failed((pointers or others)[0], error) from error
        for value, session in found:
            pointer = readable(decode_pointer, value) if session else None
            if pointer is not None:
                self.known.heard(SESSION_PREFIX + pointer.name.encode(), session)
        return {name: value for name, (value, _) in zip((*pointers, *others), found, strict=True)}

    async def _values(self, names: Sequence[bytes], looked: Looked) -> dict[bytes, bytes]:
        """What could be had."""
        asked = [name for name in names if self._nodes.up(self._server.node_of(name))]
        values: dict[bytes, bytes] = {}
        try:
            found = await self._server.values(asked) if asked else []
        except FAILURES as error:
            raise self._failed(asked[0], error) from error
        for name, value in zip(asked, found, strict=True):
            if isinstance(value, BaseException):
                self._failed(name, value)
            else:
                values[name] = value
        looked.incomplete = looked.incomplete or len(values) < len(names)
        return values

    async def _sessions(self, looked: Looked) -> None:
        """Those that the pointers lead to and that are not known here: in a cluster they are elsewhere."""
        pointers = [readable(decode_pointer, value) for value in looked.turns.values() if value]
        names = {SESSION_PREFIX + pointer.name.encode(): None for pointer in pointers if pointer is not None}
        unknown = [name for name in names if name not in self.known.sessions]
        if unknown:
            for name, session in (await self._values(unknown, looked)).items():
                if session:
                    self.known.heard(name, session)

    # The commit

    async def commit(self, claim: Claim, place: Place | None, view: View, looked: Looked) -> bool:
        """Whether it stands; if not, something else was there, which is known now. Raises ValkeyDownError."""
        begun: Change | None = None
        for step in self._steps(claim, place, view, looked):
            there = await self._step(step)
            if there is not None:
                for change, value in zip(step, there, strict=True):
                    self._heard(change, value, looked)
                if begun is not None:
                    await self._take_back(begun)
                return False
            for change in step:
                self.known.untold.pop(change.name, None)
                session = view.kept.get(change.name)
                if session is not None and change.new:
                    self.known.told(change.name, session, change.new, view.read[change.name][1])
                    begun = change if place is not None and place.how == "new" else None
                elif not change.new and change.new is not None:
                    looked.taken.add(change.name)
        for short in view.turns:
            untold = self.known.untold.get(self.known.names.turn(short))
            if untold is not None:  # it may be on its way
                self.known.tell(Change(untold.name, untold.new, b""))
        self.known.note(view, claim.window_key)
        return True

    def _steps(self, claim: Claim, place: Place | None, view: View, looked: Looked) -> list[list[Change]]:
        """Without a cluster it is one."""
        drops = [change for short in view.turns if (change := self._drop(short, looked)) is not None]
        sessions = [
            Change(name, shared, encode(view.kept[name]) if name in view.kept else None, self.known.kept.session_ms)
            for name, (shared, _) in view.read.items()
        ]
        decides, follows = self._windows(claim, place, view, looked)
        if not self._server.cluster:
            return [[*drops, *sessions, *decides, *follows]]
        for change in follows:
            self.known.tell(change)
        slots: dict[int, list[Change]] = {}
        for change in sessions:
            slots.setdefault(self._server.slot_of(change.name), []).append(change)
        return [*([change] for change in drops), *slots.values(), *([decides] if decides else [])]

    def _drop(self, short: bytes, looked: Looked) -> Change | None:
        """Of a key that counts once: who takes it away has it. One that nobody was told of needs no asking."""
        name = self.known.names.turn(short)
        pointer = self.known.turns.get(short)
        there = looked.turns.get(short) or (encode(pointer) if pointer is not None else b"")
        return None if name in self.known.untold or name in looked.taken else Change(name, there, b"")

    def _windows(
        self, claim: Claim, place: Place | None, view: View, looked: Looked
    ) -> tuple[list[Change], list[Change]]:
        """Those that decide, and those that only follow from what was decided."""
        if claim.window_key is None or view.written is None:
            return [], []
        names, kept_ms = self.known.names, self.known.kept.window_ms
        begins = place is not None and place.how == "new"
        prompt = encode(Prompt(view.written.session_id, view.written.at_ns))
        there = looked.prompt if begins and looked.window else None
        window = Change(names.window(claim.window_key), there, prompt, kept_ms)
        history = [Change(names.history(claim.window_key), None, b"%d" % view.written.at_ns, kept_ms)]
        history = history if claim.history else []
        return ([window, *history], []) if begins else ([], [window, *history])

    def _heard(self, change: Change, value: bytes, looked: Looked) -> None:
        name = change.name
        if name.startswith(SESSION_PREFIX):
            self.known.heard(name, value)
        elif change.new == b"":
            short = self.known.names.short(name)
            self.known.turns.pop(short, None)
            looked.turns[short] = value
        elif change.expected is not None:
            looked.prompt = value

    async def _take_back(self, begun: Change) -> None:
        self.known.sessions.pop(begun.name, None)
        await self._step([Change(begun.name, begun.new, b"")])

    async def _step(self, step: Sequence[Change]) -> list[bytes] | None:
        name = step[0].name
        if not self._nodes.up(self._server.node_of(name)):
            raise ValkeyDownError("it is down")
        try:
            return await self._server.commit(step)
        except FAILURES as error:
            raise self._failed(name, error) from error

    def _failed(self, name: bytes, error: BaseException) -> ValkeyDownError:
        self._nodes.failed(self._server.node_of(name), name, error)
        return ValkeyDownError(str(error))
