"""The REST API: sessions and traces as JSON, in keyset pages. Reads only."""

import sqlite3

from aiohttp import web

from gateway.console.answers import Page, answered, failed
from gateway.console.desk import DESK
from gateway.console.guard import Handler
from gateway.store.cursors import BadCursorError, SessionCursor, turn_after, turn_word
from gateway.store.queries import MAX_PAGE, SessionRow
from gateway.store.views import SessionView, TraceView, has_response, session_view, trace_view, traces_of

routes = web.RouteTableDef()


class BadQueryError(ValueError):
    """What is wrong with a query parameter."""


class NotFoundError(LookupError):
    """What was not found."""


@web.middleware
async def explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what may go wrong into JSON errors below /api/, and into a sentence elsewhere."""
    if not request.path.startswith("/api/"):
        try:
            return await handler(request)
        except sqlite3.Error:
            return web.Response(status=503, text="The store cannot be read at the moment; reload the page.")
    try:
        return await handler(request)
    except (BadCursorError, BadQueryError) as error:
        return failed(400, "bad_request", str(error))
    except NotFoundError as error:
        return failed(404, "not_found", str(error))
    except sqlite3.Error:
        return failed(503, "store_unavailable", "the store cannot be read at the moment; try again")
    except web.HTTPException as error:
        code = error.reason.lower().replace(" ", "_")
        return failed(error.status, code, f"{request.method} is not possible at this path")


@routes.get("/api/v1/sessions")
async def sessions(request: web.Request) -> web.Response:
    word = request.query.get("cursor")
    before = SessionCursor.of(word) if word is not None else None
    limit = _limit(request)
    page = await request.app[DESK].ask(lambda reader: reader.sessions(limit, before))
    items = [session_view(row) for row in page.sessions]
    return answered(Page[SessionView](items, page.next.word() if page.next else None))


@routes.get("/api/v1/sessions/{id}")
async def session(request: web.Request) -> web.Response:
    return answered(session_view(await _session(request)))


@routes.get("/api/v1/sessions/{id}/traces")
async def session_traces(request: web.Request) -> web.Response:
    """In order; a page holds both traces of an exchange, so it may have twice `limit` items."""
    word = request.query.get("cursor")
    after = turn_after(word) if word is not None else 0
    limit = _limit(request)
    row = await _session(request)
    page = await request.app[DESK].ask(lambda reader: reader.turns(row, limit, after))
    items = [trace for turn in page.turns for trace in traces_of(turn)]
    return answered(Page[TraceView](items, turn_word(page.next) if page.next is not None else None))


@routes.get("/api/v1/traces/{id}")
async def trace(request: web.Request) -> web.Response:
    trace_id = request.match_info["id"]
    exchange_id, _, direction = trace_id.rpartition(".")
    turn = None
    if direction in ("inlet", "response"):
        turn = await request.app[DESK].ask(lambda reader: reader.turn(exchange_id))
    if turn is None or (direction == "response" and not has_response(turn)):
        raise NotFoundError("no such trace; its id is that of an exchange with .inlet or .response behind it")
    return answered(trace_view(turn, direction))


async def _session(request: web.Request) -> SessionRow:
    session_id, workspace = request.match_info["id"], request.query.get("workspace")
    row = await request.app[DESK].ask(lambda reader: reader.session(session_id, workspace))
    if row is None:
        raise NotFoundError("no such session; it may be older than the store's retention")
    return row


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", "50")
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_PAGE):
        raise BadQueryError(f"limit must be a whole number from 1 to {MAX_PAGE}")
    return int(text)
