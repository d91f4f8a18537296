"""Listening for the console and for health: an occupied port is said in one line, with the remedy."""

import errno
import ssl
from ipaddress import ip_address

from aiohttp import web

from gateway.units import host_port


class EndpointError(Exception):
    """Which endpoint cannot be had, and what to do."""


def openable(endpoint: str) -> str:
    """`endpoint` as somebody on this machine can open it: an address that means all interfaces is none to go to."""
    if not listens_everywhere(endpoint):
        return endpoint
    host, port = host_port(endpoint)
    return f"[::1]:{port}" if ":" in host else f"127.0.0.1:{port}"


def listens_everywhere(endpoint: str) -> bool:
    try:
        return ip_address(host_port(endpoint)[0]).is_unspecified
    except ValueError:  # a name
        return False


def opened_url(endpoint: str, secure: bool) -> str:
    """`endpoint` as a URL that can be opened on this machine, without a slash at its end."""
    return f"{'https' if secure else 'http'}://{openable(endpoint)}"


async def serve(app: web.Application, endpoint: str, setting: str, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    """Listen at `endpoint`; `setting` is where in the config it stands. Clean up the runner in the end."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, *host_port(endpoint), ssl_context=tls).start()
    except OSError as error:
        await runner.cleanup()
        if error.errno == errno.EADDRINUSE:
            reason = f"{endpoint} is in use; stop what listens there"
        else:
            reason = f"cannot listen at {endpoint}: {error.strerror or error}; choose another"
        raise EndpointError(f"{setting}: {reason}, or change {setting}") from error
    return runner
