"""Which names this machine's own console may be called by: that of a web page, bent to it, is none (DNS rebinding).

Answers who asked for an address, for localhost, for a name without a dot, which no web page has, or for a name in the
configuration; where the console listens for other machines too, it may be called anything.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import cast
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.console.answers import failed
from gateway.console.plain import Handler
from gateway.units import host_port


def named_well(endpoint: str, hosts: Sequence[str]) -> Middleware:
    """For a console at `endpoint`; `hosts`: further names, as a proxy in front of it passes them on."""
    host = host_port(endpoint)[0]
    own = {each.lower() for each in hosts} | {host.lower()}
    asks = _is_loopback(host)

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        if asks and not _is_ours(request.headers.get("Host", ""), own):
            return failed(
                421,
                "unknown_host",
                "this console listens on this machine only and does not know the name it was called by; call it "
                "127.0.0.1 or localhost, or name the host in extensions::console::hosts",
            )
        return await handler(request)

    return cast(Middleware, checked)


def _is_ours(host: str, own: set[str]) -> bool:
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return False
    return "." not in name or name in own or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    """Nobody can bend it to another machine."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)
