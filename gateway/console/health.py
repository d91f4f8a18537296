"""`extensions.health_check`: 200 while exchanges can be relayed and kept, else 503 and why. Says nothing else."""

from collections.abc import Callable

import msgspec
from aiohttp import web

from gateway.console.answers import answered


class Health(msgspec.Struct):
    status: str
    """`ok` or `unavailable`."""
    reason: str | None
    workers: int
    """Connected."""
    workers_expected: int
    session_state: str | None
    """Why sessions are some workers' own at the moment; exchanges are relayed and kept all the same."""


def health_app(check: Callable[[], Health]) -> web.Application:
    async def health(request: web.Request) -> web.Response:
        found = check()
        return answered(found, 200 if found.status == "ok" else 503)

    app = web.Application()
    app.router.add_get("/", health)
    return app
