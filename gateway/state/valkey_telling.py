"""Tells Valkey what a worker has learnt: behind its answers, many at once. One task a worker."""

import asyncio
from collections.abc import Callable
from itertools import islice

from gateway.state.valkey_known import Known
from gateway.state.valkey_nodes import Nodes
from gateway.state.valkey_records import Change, encode
from gateway.state.valkey_server import FAILURES, ValkeyServer

_SESSIONS, _CHANGES = 64, 512
"""A round."""
_Step = tuple[list[Change], Callable[[list[bytes] | None], None]]
"""And what is done with the answer to it."""


class Teller:
    def __init__(self, server: ValkeyServer, nodes: Nodes, known: Callable[[], Known]) -> None:
        """`known`: what there is to tell, at the moment."""
        self._server = server
        self._nodes = nodes
        self._known = known
        self._asked = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._tell(), name="tell session state")
        self._asked.set()

    async def close(self, within_s: float) -> None:
        """What is left is told first, if that goes."""
        if self._task is None:
            return
        self._closing = True
        self._asked.set()
        self._nodes.back.set()
        _, running = await asyncio.wait([self._task], timeout=within_s)
        if running:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=within_s)

    async def _tell(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._left():
                self._nodes.back.clear()
                if not await self._round():
                    if self._closing:
                        return
                    await self._nodes.back.wait()
            if self._closing:
                return

    def _left(self) -> bool:
        known = self._known()
        return bool(known.untold_sessions or known.untold)

    async def _round(self) -> bool:
        """Whether anything got through. Sessions first: what else there was of one tells the pointers to it apart."""
        known = self._known()
        names = islice((name for name in known.untold_sessions if self._up(name)), _SESSIONS)
        told = await self._write([_session(known, name) for name in names])
        changes = islice((change for change in known.untold.values() if self._up(change.name)), _CHANGES)
        return await self._write([_change(known, change) for change in changes]) or told

    async def _write(self, steps: list[_Step]) -> bool:
        if not steps:
            return False
        try:
            answers = await self._server.write([changes for changes, _ in steps])
        except FAILURES as error:
            self._failed(steps[0][0][0].name, error)
            return False
        told = False
        for (changes, done), answer in zip(steps, answers, strict=True):
            if isinstance(answer, BaseException):
                self._failed(changes[0].name, answer)
            else:
                done(answer)
                told = True
        return told

    def _up(self, name: bytes) -> bool:
        return self._nodes.up("") and self._nodes.up(self._server.node_of(name))

    def _failed(self, name: bytes, error: BaseException) -> None:
        self._nodes.failed(self._server.node_of(name), name, error)


def _session(known: Known, name: bytes) -> _Step:
    held = known.held(name)
    session, shared, untold = held.session, held.shared, len(held.untold)
    new = encode(session) if session is not None else None

    def done(there: list[bytes] | None) -> None:
        if there is not None:
            known.heard(name, there[0])  # it is tried again upon that, if there is anything left to tell
        elif session is not None and new is not None:
            known.told(name, session, new, untold)
        else:
            known.forget_untold(name)

    return [Change(name, shared, new, known.kept.session_ms)], done


def _change(known: Known, change: Change) -> _Step:
    def done(there: list[bytes] | None) -> None:
        if known.untold.get(change.name) is change:
            del known.untold[change.name]

    return [change], done
