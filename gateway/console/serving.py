"""Listening for the console and for health: an occupied port is said in one line, with the remedy.

SECURITY: whatever is wrong with a request, nothing of it gets into logs, and nobody learns what serves it.
"""

import errno
import logging
import ssl
from ipaddress import ip_address

import structlog
from aiohttp import web, web_response
from aiohttp.http_exceptions import HttpProcessingError

from gateway.units import host_port

_log = structlog.get_logger("gateway.console")
_HEAD_S = 10.0
"""How long a connection may take to begin, or to go on with, another request's head."""
web_response.SERVER_SOFTWARE = "spangate"  # type: ignore[attr-defined]  # what it puts into answers of its own


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
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=2.0,
        logger=_logger(),
        # Counted from a connection's beginning or its last answer on, half a head or not.
        keepalive_timeout=_HEAD_S,
    )
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


def _logger() -> logging.Logger:
    logger = logging.Logger("gateway.console")
    logger.addHandler(_WithoutContent())
    return logger


class _WithoutContent(logging.Handler):
    """aiohttp logs requests that it cannot read as they came, keys and all: only our own mistakes are told, by type."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError) or record.levelno < logging.ERROR:
            return
        trace = error.__traceback__ if error is not None else None
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        at = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
        _log.error("a request could not be answered", error=type(error).__name__, at=at)
