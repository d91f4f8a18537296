"""The way to an origin: both address families raced, a forward proxy's tunnel, TLS. Keeps nothing."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Literal, TypeVar

import aiohappyeyeballs

from gateway.proxy.handler import ForwardProxy, Origin

_NEXT_ADDRESS_S = 0.25
"""When the next address is tried beside one that does not answer: what RFC 8305, 5 recommends."""
_TUNNEL_ANSWER_BYTES = 16 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n")

Resolve = Callable[[str, int], Awaitable[Sequence[aiohappyeyeballs.AddrInfoType]]]
_Protocol = TypeVar("_Protocol", bound=asyncio.Protocol)


class ConnectError(Exception):
    """Why there is no connection. Says nothing that a header or a proxy's URL may have held."""

    def __init__(self, end: Literal["timeout", "upstream_gone"], error_type: str, detail: str = "") -> None:
        super().__init__(f"{error_type} {detail}".rstrip())
        self.end: Literal["timeout", "upstream_gone"] = end
        self.error_type = error_type
        self.detail = detail


async def connected(
    origin: Origin, within_s: float, protocol: Callable[[], _Protocol], resolve: Resolve | None = None
) -> _Protocol:
    """A new connection to `origin`, ready for a request. Raises ConnectError; one deadline is for all of it.

    `resolve`: instead of the loop's resolver, which works in threads.
    """
    resolve = resolve or _addresses
    reached = origin.proxy is None
    try:
        async with asyncio.timeout(within_s):
            if origin.proxy is None:
                sock = await _reached(origin.host, origin.port, resolve)
            else:
                sock = await _tunnel(origin.proxy, origin, resolve)
                reached = True
            return await _served(sock, origin, protocol)
    except TimeoutError as error:
        raise ConnectError("timeout", "connect_timeout" if reached else "proxy_timeout") from error
    except OSError as error:
        raise ConnectError(
            "upstream_gone", "tls_error" if "SSL" in type(error).__name__ else "connect_error"
        ) from error


async def _addresses(host: str, port: int) -> Sequence[aiohappyeyeballs.AddrInfoType]:
    if _is_address(host):
        return aiohappyeyeballs.addr_to_addr_infos((host, port)) or []  # not worth a thread
    try:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # no name at all: a label too long, or empty
        raise OSError(str(error)) from error


async def _reached(host: str, port: int, resolve: Resolve) -> socket.socket:
    """From the first of the name's addresses that answers (RFC 8305)."""
    addresses = await resolve(host, port)
    try:
        return await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S)
    except RuntimeError as error:  # uvloop's, where a socket cannot be used
        raise OSError(str(error)) from error


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone is for the resolver to read


async def _served(sock: socket.socket, origin: Origin, protocol: Callable[[], _Protocol]) -> _Protocol:
    server_hostname = origin.host if origin.tls is not None else None
    _, connection = await asyncio.get_running_loop().create_connection(
        protocol, sock=sock, ssl=origin.tls, server_hostname=server_hostname
    )
    return connection


async def _tunnel(proxy: ForwardProxy, origin: Origin, resolve: Resolve) -> socket.socket:
    """What `origin` says comes out of this socket, as if there were no proxy (RFC 9110, 9.3.6)."""
    try:
        sock = await _reached(proxy.host, proxy.port, resolve)
    except OSError as error:
        raise ConnectError("upstream_gone", "proxy_unreachable") from error
    try:
        await _ask_for_tunnel(sock, proxy, origin)
    except OSError as error:
        sock.close()
        raise ConnectError("upstream_gone", "proxy_closed") from error
    except BaseException:
        sock.close()
        raise
    return sock


async def _ask_for_tunnel(sock: socket.socket, proxy: ForwardProxy, origin: Origin) -> None:
    loop = asyncio.get_running_loop()
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    where = f"{host}:{origin.port}".encode()
    who = b"Proxy-Authorization: %b\r\n" % proxy.authorization if proxy.authorization else b""
    await loop.sock_sendall(sock, b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (where, where, who))
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) <= _TUNNEL_ANSWER_BYTES:
        piece = await loop.sock_recv(sock, _TUNNEL_ANSWER_BYTES)
        if not piece:
            raise ConnectError("upstream_gone", "proxy_closed" if not answer else "proxy_bad_response")
        answer += piece
        if not answer.startswith(b"HTTP/1."[: len(answer)]):
            break
    status_line = _STATUS_LINE.match(answer)
    if status_line is None or b"\r\n\r\n" not in answer:
        raise ConnectError("upstream_gone", "proxy_bad_response")
    status = int(status_line[1])
    if status == 407:
        raise ConnectError("upstream_gone", "proxy_unauthorized", "407")
    if not 200 <= status < 300:
        raise ConnectError("upstream_gone", "proxy_refused", str(status))
    # SECURITY: nobody behind the proxy speaks before we do; what stands here already would be taken for an answer.
    if not answer.endswith(b"\r\n\r\n") or answer.count(b"\r\n\r\n") != 1:
        raise ConnectError("upstream_gone", "proxy_bad_response")
