"""The REST API: sessions and traces as JSON, in keyset pages. Reads only."""

from aiohttp import web

from gateway.console.answers import Page, answered
from gateway.console.desk import DESK
from gateway.store.cursors import SessionCursor, TurnCursor
from gateway.store.found import SessionRow, Turn, TurnPage
from gateway.store.queries import MAX_PAGE
from gateway.store.views import SessionView, TraceView, has_response, session_view, trace_view, traces_of

routes = web.RouteTableDef()


class BadQueryError(ValueError):
    """What is wrong with a query parameter."""


class NotFoundError(LookupError):
    """What was not found."""


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
    after = TurnCursor.of(word) if word is not None else None
    limit = _limit(request)
    row = await _session(request)
    # Made into JSON on the thread that read it: megabytes of conversation would hold up the loop.
    return await request.app[DESK].ask(lambda reader: _traces(reader.turns(row, limit, after)))


def _traces(page: TurnPage) -> web.Response:
    items = [trace for turn in page.turns for trace in traces_of(turn)]
    return answered(Page[TraceView](items, page.next.word() if page.next is not None else None))


@routes.get("/api/v1/traces/{id}")
async def trace(request: web.Request) -> web.Response:
    trace_id = request.match_info["id"]
    exchange_id, _, direction = trace_id.rpartition(".")
    found = None
    if direction in ("inlet", "response"):
        found = await request.app[DESK].ask(lambda reader: _trace(reader.turn(exchange_id), direction))
    if found is None:
        raise NotFoundError("no such trace; its id is that of an exchange with .inlet or .response behind it")
    return found


def _trace(turn: Turn | None, direction: str) -> web.Response | None:
    if turn is None or (direction == "response" and not has_response(turn)):
        return None
    return answered(trace_view(turn, direction))


async def _session(request: web.Request) -> SessionRow:
    session_id, workspace = request.match_info["id"], request.query.get("workspace")
    row = await request.app[DESK].ask(lambda reader: reader.session(session_id, workspace))
    if row is None:
        raise NotFoundError("no such session; it may be older than the store's retention")
    return row


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", "50")
    # Told by its length first: int() itself refuses thousands of digits, with an error of its own.
    digits = text.lstrip("0")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 9 and int(digits) <= MAX_PAGE):
        raise BadQueryError(f"limit must be a whole number from 1 to {MAX_PAGE}")
    return int(digits)
