"""The console put together: pages, API, guard. Reads the store; needs nothing else of the gateway."""

from pathlib import Path

from aiohttp import web

from gateway.console import api, pages
from gateway.console.auth import Auth
from gateway.console.desk import DESK, Desk
from gateway.console.guard import AUTH, guarded, harmless
from gateway.console.plain import readable
from gateway.console.problems import explained

_STATIC = frozenset({"console.css", "icon.svg"})


def console_app(desk: Desk, auth: Auth, page_maker: pages.Pages) -> web.Application:
    # Forms are a token long: nobody may make us keep more.
    app = web.Application(middlewares=[explained, readable, guarded], client_max_size=64 * 1024)
    app[AUTH], app[DESK], app[pages.PAGES] = auth, desk, page_maker
    app.add_routes(api.routes)
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
