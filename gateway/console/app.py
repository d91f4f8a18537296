"""The console put together: pages, API, guard. Reads the store; needs nothing else of the gateway."""

from pathlib import Path

from aiohttp import web

from gateway.console import api, pages
from gateway.console.auth import Auth
from gateway.console.desk import DESK, Desk
from gateway.console.guard import AUTH, guarded, harmless
from gateway.units import ConfigModel, Endpoint


class ConsoleConfig(ConfigModel):
    endpoint: Endpoint = "127.0.0.1:4001"


def console_app(desk: Desk, auth: Auth, page_maker: pages.Pages) -> web.Application:
    # Forms are a token long: nobody may make us keep more.
    app = web.Application(middlewares=[api.explained, guarded], client_max_size=64 * 1024)
    app[AUTH], app[DESK], app[pages.PAGES] = auth, desk, page_maker
    app.add_routes(api.routes)
    app.add_routes(pages.routes)
    app.router.add_static("/static", Path(__file__).parent / "static")
    app.on_response_prepare.append(harmless)
    return app
