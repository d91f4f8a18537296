"""Where a Valkey or Redis is, as a URL says it. No I/O; messages never show it, for it may hold a password."""

from typing import NamedTuple
from urllib.parse import unquote

_SCHEMES = {"valkey": False, "redis": False, "valkeys": True, "rediss": True}
_PORT = 6379
_REMEDY = "write valkey://HOST:6379, valkeys://USER:PASSWORD@HOST:6379/DB for TLS, or HOST:PORT,HOST:PORT for a cluster"


class ValkeyUrl(NamedTuple):
    seeds: tuple[tuple[str, int], ...]
    """Of a cluster one that answers is enough: it tells the others."""
    tls: bool = False
    username: str | None = None
    password: str | None = None
    db: int = 0


def is_valkey(url: str) -> bool:
    return url.partition(":")[0] in _SCHEMES


def valkey_url(url: str) -> ValkeyUrl:
    """Raises ValueError with the remedy."""
    scheme, _, rest = url.partition("://")  # urlsplit takes one host only, brackets and all
    if "?" in rest or "#" in rest:
        raise ValueError(f"takes nothing behind ? or #; {_REMEDY}")
    location, _, path = rest.partition("/")
    if not location:
        raise ValueError(f"names no host; {_REMEDY}")
    userinfo, _, hosts = location.rpartition("@")
    username, _, password = userinfo.partition(":")
    seeds = tuple(_seed(host) for host in hosts.split(","))
    db = path.strip("/") or "0"
    if not (db.isascii() and db.isdigit()):
        raise ValueError(f"has something else than the number of a database behind the host; {_REMEDY}")
    if len(seeds) > 1 and db != "0":
        raise ValueError("names several nodes and a database: a cluster has number 0 only; leave the number out")
    return ValkeyUrl(seeds, _SCHEMES[scheme], unquote(username) or None, unquote(password) or None, int(db))


def _seed(written: str) -> tuple[str, int]:
    host, colon, port = written.rpartition(":")
    if not colon or written.endswith("]"):
        host, port = written, str(_PORT)
    if ("[" in host or "]" in host) and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"cannot be read: a bracket of an IPv6 address is missing; {_REMEDY}")
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"has a host without a name, or a port that is none; {_REMEDY}")
    return host, int(port)
