"""The console put together: pages, API, guard. Reads the store; needs nothing else of the gateway."""

from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from gateway.console import api, pages, reviews
from gateway.console.auth import Auth
from gateway.console.desk import DESK, Desk
from gateway.console.guard import AUTH, guarded, harmless
from gateway.console.hosts import named_well
from gateway.console.plain import readable
from gateway.console.problems import explained

_STATIC = frozenset({"console.css", "icon.svg"})


def console_app(
    desk: Desk, auth: Auth, page_maker: pages.Pages, endpoint: str = "127.0.0.1:4001", hosts: Sequence[str] = ()
) -> web.Application:
    """`endpoint`: where it listens; `hosts`: what else it may be called there."""
    app = web.Application(
        middlewares=[named_well(endpoint, hosts), explained, readable, guarded],
        client_max_size=64 * 1024,  # forms are a token long: nobody may make us keep more
    )
    app[AUTH], app[DESK], app[pages.PAGES] = auth, desk, page_maker
    app.add_routes(api.routes)
    app.add_routes(reviews.routes)
    app.add_routes(pages.routes)
    app.router.add_get("/static/{name}", _static)
    app.on_response_prepare.append(harmless)
    return app


async def _static(request: web.Request) -> web.FileResponse:
    """By name among the few there are: no path is ever made of what a request says."""
    name = request.match_info["name"]
    if name not in _STATIC:
        raise web.HTTPNotFound
    return web.FileResponse(Path(__file__).parent / "static" / name)
