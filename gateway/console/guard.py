"""Lets nobody past without the token: bearer for scripts, a cookie for browsers; keeps pages harmless by headers."""

import hmac
from urllib.parse import quote

from aiohttp import web

from gateway.console.answers import failed
from gateway.console.auth import LOGIN_S, Auth, Login
from gateway.console.plain import Handler, form_of

AUTH = web.AppKey("auth", Auth)
LOGIN = web.RequestKey("login", Login)
_COOKIE = "spangate_login"
_HEADERS = {
    # SECURITY: pages show what clients wrote. No script at all is the strongest escape.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "spangate",
}


async def harmless(request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal: errors and redirects get the headers too."""
    response.headers.update(_HEADERS)
    if not request.path.startswith("/static/"):
        response.headers["Cache-Control"] = "no-store"


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Everything but the login form and the style sheet needs the token. Raises TooManyAttemptsError."""
    if request.path == "/login" or request.path.startswith("/static/"):
        return await handler(request)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and shows_token(request, token):
        return await handler(request)
    login = request.app[AUTH].login(request.cookies.get(_COOKIE, ""))
    if login is None:
        return _shown_out(request)
    request[LOGIN] = login
    if request.method not in ("GET", "HEAD") and not await _meant(request, login):
        raise web.HTTPForbidden
    return await handler(request)


def shows_token(request: web.Request, token: str) -> bool:
    """Raises TooManyAttemptsError."""
    # SECURITY: the peer's address, never one that a header names: whoever guesses would write another each time.
    return request.app[AUTH].accepts(token.strip(), request.remote or "")


def _shown_out(request: web.Request) -> web.StreamResponse:
    if request.path.startswith("/api/"):
        refusal = failed(401, "unauthorized", "send the administrator's token: `Authorization: Bearer <token>`")
        refusal.headers["WWW-Authenticate"] = 'Bearer realm="spangate"'
        return refusal
    return web.Response(status=303, headers={"Location": f"/login?next={quote(request.raw_path, safe='')}"})


async def _meant(request: web.Request, login: Login) -> bool:
    """Whether this POST comes from a page of ours: SameSite keeps other sites' out, the token makes sure."""
    form = await form_of(request)
    return hmac.compare_digest(form.get("csrf", "").encode(), login.csrf.encode())


def from_our_site(request: web.Request) -> bool:
    """For the login form, which has no login to take a token from yet (Fetch Metadata, w3.org/TR/fetch-metadata)."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")


def welcome(request: web.Request, response: web.Response) -> None:
    response.set_cookie(
        _COOKIE,
        request.app[AUTH].log_in(),
        max_age=LOGIN_S,
        httponly=True,
        samesite="Strict",
        secure=request.secure,
        path="/",
    )


def farewell(request: web.Request, response: web.Response) -> None:
    request.app[AUTH].log_out(request.cookies.get(_COOKIE, ""))
    response.del_cookie(_COOKIE, path="/", httponly=True, samesite="Strict")


def local_path(path: str) -> str:
    """`next` after a login, if it stays with us; else the first page."""
    # SECURITY: "//evil" and "/\evil" are other hosts to a browser.
    if path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable():
        return path
    return "/"
