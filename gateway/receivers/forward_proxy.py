"""Which forward proxy an upstream is reached through: what its configuration says, else the environment. Pure."""

from base64 import b64encode
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from gateway.proxy.handler import ForwardProxy

DIRECT = "direct"
"""Instead of a URL: no proxy, whatever the environment says."""
_PORTS = range(1, 65536)


def proxy_of(url: str) -> ForwardProxy:
    """Raises ValueError, which does not show the URL: it may hold a password."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        sound = parts.scheme == "http" and parts.hostname and parts.port in (None, *_PORTS)
    except ValueError:
        sound = False
    if not sound or any(character.isspace() for character in url):
        raise ValueError("is not the URL of an HTTP proxy; write one such as http://proxy.example:3128")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("has a path, a query or a fragment; a proxy's URL ends behind its port")
    return ForwardProxy(parts.hostname or "", parts.port or 80, _authorization(parts))


def _authorization(parts: SplitResult) -> bytes:
    if parts.username is None:
        return b""
    user, password = unquote_to_bytes(parts.username), unquote_to_bytes(parts.password or "")
    return b"Basic " + b64encode(user + b":" + password)


def chosen_proxy(upstream: SplitResult, written: str | None, environ: Mapping[str, str]) -> ForwardProxy | None:
    """`written`: a proxy's URL, or `direct`, or None where the environment decides.

    Raises ValueError, naming the variable, where the environment has what is no proxy.
    """
    if written is not None:
        return None if written == DIRECT else proxy_of(written)
    name = f"{upstream.scheme}_proxy"
    # As curl and Python have it, the name in lower case comes first; set and empty is "none".
    url = environ.get(name, environ.get(name.upper(), ""))
    if not url or _exempt(upstream, environ.get("no_proxy", environ.get("NO_PROXY", ""))):
        return None
    try:
        return proxy_of(url)
    except ValueError as error:
        set_one = name if name in environ else name.upper()
        raise ValueError(f"the environment variable {set_one} {error}") from None  # the cause might show the URL


def _exempt(upstream: SplitResult, listed: str) -> bool:
    """NO_PROXY: names (with all below them), addresses, networks, each with or without a port, or `*`.

    What is on this machine is no proxy's business, listed or not, as in Go's HTTP client.
    """
    host = (upstream.hostname or "").rstrip(".")
    port = upstream.port or (443 if upstream.scheme == "https" else 80)
    if host == "localhost" or host.endswith(".localhost") or _is_loopback(host):
        return True
    return any(_names(entry.lower(), host, port) for entry in listed.replace(",", " ").split())


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _names(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]")
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        entry = entry.removeprefix("*").strip(".")
        return bool(entry) and (host == entry or host.endswith("." + entry))
    try:
        return ip_address(host) in network
    except ValueError:
        return False
