"""The console's pages, made on the server. Everything from clients is escaped; no scripts."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import jinja2
from aiohttp import web

from gateway.console import formats
from gateway.console.desk import DESK
from gateway.console.guard import LOGIN, farewell, from_our_site, local_path, shows_token, welcome
from gateway.console.plain import form_of
from gateway.store.cursors import SessionCursor, TurnCursor
from gateway.store.reading import added, answered, dollars, moment, status_of

routes = web.RouteTableDef()
_SESSIONS_A_PAGE = 50
_TURNS_A_PAGE = 50


class Pages:
    """Templates and what they always need."""

    def __init__(self, gateway_url: str, clock: Callable[[], float] = time.time) -> None:
        self.gateway_url = gateway_url
        self._clock = clock
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            moment=moment,
            ago=lambda unix_ns: formats.ago(self._clock() - unix_ns / 1e9),
            clock_time=formats.clock_time,
            count=formats.count,
            milliseconds=formats.milliseconds,
            excerpt=formats.excerpt,
            lines=lambda joined: [line for line in joined.split("\n") if line],
            path=lambda text: quote(text, safe=""),
            address=_address,
            dollars=dollars,
            status=status_of,
            added=added,
            answered=answered,
        )

    def page(self, request: web.Request, template: str, status: int = 200, **values: object) -> web.Response:
        login = request.get(LOGIN)
        text = self._templates.get_template(template).render(csrf=login.csrf if login else None, **values)
        return web.Response(text=text, content_type="text/html", status=status)

    def problem(self, request: web.Request, status: int, title: str, text: str) -> web.Response:
        return self.page(request, "problem.html", status, title=title, text=text)


def _address(session_id: str, workspace: str | None = None) -> str:
    """Where a session's page is. Browsers take `.` and `..` for steps in a path, escaped or not: asked by query."""
    dots = session_id in (".", "..")
    asked = [f"id={session_id}"] if dots else []
    if workspace is not None:
        asked.append(f"workspace={quote(workspace, safe='')}")
    path = "/session" if dots else f"/sessions/{quote(session_id, safe='')}"
    return f"{path}?{'&'.join(asked)}" if asked else path


PAGES = web.AppKey("pages", Pages)


@routes.get("/")
async def sessions(request: web.Request) -> web.Response:
    pages = request.app[PAGES]
    word = request.query.get("before")
    before = SessionCursor.of(word) if word is not None else None
    page = await request.app[DESK].ask(lambda reader: reader.sessions(_SESSIONS_A_PAGE, before))
    return pages.page(
        request,
        "sessions.html",
        sessions=page.sessions,
        older=page.next.word() if page.next else None,
        first_page=before is None,
        gateway_url=pages.gateway_url,
    )


@routes.get("/session")
@routes.get("/sessions/{id}")
async def session(request: web.Request) -> web.Response:
    pages, desk = request.app[PAGES], request.app[DESK]
    session_id = request.match_info.get("id") or request.query.get("id", "")
    workspace = request.query.get("workspace")
    row = await desk.ask(lambda reader: reader.session(session_id, workspace))
    if row is None:
        return pages.problem(request, 404, "There is no such session", "It may be older than what the store keeps.")
    word = request.query.get("after")
    after = TurnCursor.of(word) if word is not None else None
    page = await desk.ask(lambda reader: reader.turns(row, _TURNS_A_PAGE, after))
    later = page.next.word() if page.next is not None else None
    # On a thread as well: megabytes of conversation take longer to render than anybody else may wait for the loop.
    return await desk.ask(
        lambda _: pages.page(
            request, "session.html", session=row, turns=page.turns, later=later, first_page=after is None
        )
    )


@routes.get("/login")
async def login_form(request: web.Request) -> web.Response:
    return request.app[PAGES].page(request, "login.html", next=local_path(request.query.get("next", "/")), wrong=False)


@routes.post("/login")
async def log_in(request: web.Request) -> web.Response:
    form = await form_of(request)
    onward = local_path(form.get("next", "/"))
    if not from_our_site(request) or not shows_token(request, form.get("token", "")):
        return request.app[PAGES].page(request, "login.html", 401, next=onward, wrong=True)
    response = web.Response(status=303, headers={"Location": onward})
    welcome(request, response)
    return response


@routes.post("/logout")
async def log_out(request: web.Request) -> web.Response:
    response = web.Response(status=303, headers={"Location": "/login"})
    farewell(request, response)
    return response
