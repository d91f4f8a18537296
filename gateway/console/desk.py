"""Where pages and API ask the store: on a few threads of their own, never on the loop."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from gateway.store.queries import Reader

_THREADS = 4
Answer = TypeVar("Answer")


class Desk:
    """Raises what `Reader` raises when made."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._reader = Reader(path, clock)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="console-query")

    async def ask(self, question: Callable[[Reader], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, question, self._reader)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._reader.close()


DESK = web.AppKey("desk", Desk)
