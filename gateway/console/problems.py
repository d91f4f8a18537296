"""What goes wrong, told with its remedy: as JSON below /api/, as a page elsewhere. Quotes nothing of the request."""

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import web

from gateway.console.answers import failed
from gateway.console.api import BadQueryError, NotFoundError
from gateway.console.attempts import TooManyAttemptsError
from gateway.console.pages import PAGES
from gateway.console.plain import BadInputError, Handler
from gateway.store.cursors import BadCursorError


class _Problem(NamedTuple):
    status: int
    code: str
    title: str
    """A page's heading."""
    text: str
    headers: Mapping[str, str] | None = None


@web.middleware
async def explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadCursorError as error:
        text = str(error) if _is_api(request) else "no page of the console leads here; begin with the newest"
        problem = _Problem(400, "bad_request", "There is no such page", text)
    except (BadInputError, BadQueryError) as error:
        problem = _Problem(400, "bad_request", "This request cannot be read", str(error))
    except NotFoundError as error:
        problem = _Problem(404, "not_found", "Not found", str(error))
    except TooManyAttemptsError as error:
        waiting = {"Retry-After": str(error.wait_s)}
        problem = _Problem(429, "too_many_attempts", "Wait before you try again", str(error), waiting)
    except sqlite3.Error:
        text = "the store cannot be read at the moment; try again"
        problem = _Problem(503, "store_unavailable", "The store cannot be read", text)
    except web.HTTPException as error:
        problem = _http_problem(request, error)
    return _told(request, problem)


def _http_problem(request: web.Request, error: web.HTTPException) -> _Problem:
    """What aiohttp itself refuses, and a form that is out of date."""
    code = error.reason.lower().replace(" ", "_")
    match error.status:
        case 403 if request.method != "GET":
            text = "this form is out of date; go back, reload the page and try again"
            return _Problem(403, code, "This form is out of date", text)
        case 404:
            return _Problem(404, code, "There is no such page", "nothing is at this path; is the address complete?")
        case 405:
            text = f"this path takes {error.headers['Allow']}"
            return _Problem(405, code, "Not possible here", text, {"Allow": error.headers["Allow"]})
        case 413:
            return _Problem(413, code, "That is too much", "no form of ours is that long; send less")
    return _Problem(error.status, code, error.reason, "this is not possible here")


def _told(request: web.Request, problem: _Problem) -> web.Response:
    if _is_api(request):
        response = failed(problem.status, problem.code, problem.text)
    else:
        sentence = problem.text[:1].upper() + problem.text[1:] + ("" if problem.text.endswith("?") else ".")
        response = request.app[PAGES].problem(request, problem.status, problem.title, sentence)
    response.headers.update(problem.headers or {})
    return response


def _is_api(request: web.Request) -> bool:
    return request.path.startswith("/api/")
