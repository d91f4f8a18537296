"""Which headers of a client's carry credentials, and which of these hold a gateway key, that must not leave. Pure."""

import re
from base64 import b64decode
from functools import lru_cache
from typing import NamedTuple

from gateway.model.credentials import CREDENTIAL_SLOTS
from gateway.model.exchange import Headers

REPLACED = frozenset(CREDENTIAL_SLOTS)
"""What a client may authenticate itself with: goes where the gateway holds the key."""
_MAY_CARRY_KEY = REPLACED | {b"cookie"}
COOKIE = frozenset({b"cookie"})
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_GATEWAY_KEY = re.compile(rb"(?<![A-Za-z0-9_-])sg-", re.IGNORECASE)
"""Behind a scheme, a comma, a quote or a cookie's name: wherever a value or a part of one may begin."""
_BASIC = re.compile(rb"\s*basic\s+([A-Za-z0-9+/=_-]+)", re.IGNORECASE)


class Places(NamedTuple):
    """Where among a request's headers something stands that must be looked at."""

    slots: tuple[tuple[int, bytes], ...]
    """Of credentials, with their names."""
    host: int | None


def places(names: tuple[bytes, ...]) -> Places:
    slots = tuple([(at, name) for at, name in enumerate(names) if name in _MAY_CARRY_KEY])
    return Places(slots, names.index(b"host") if b"host" in names else None)


known_places = lru_cache(maxsize=256)(places)


def without_key_cookies(headers: Headers) -> Headers:
    """Of cookies those go that carry one, and no other byte."""
    kept: Headers = []
    for name, value in headers:
        if name.lower() == b"cookie" and carries_gateway_key(value):
            pairs = value.split(b";")
            value = b";".join(pair for pair in pairs if not carries_gateway_key(pair)).lstrip(b" ")
            if not value or carries_gateway_key(value):
                continue
        kept.append((name, value))
    return kept


def carries_gateway_key(value: bytes) -> bool:
    lower = value.lower()
    if b"sg-" in lower and _GATEWAY_KEY.search(lower) is not None:
        return True
    basic = _BASIC.match(value) if b"basic" in lower else None
    return basic is not None and _GATEWAY_KEY.search(_unpacked(basic[1])) is not None


def _unpacked(base64: bytes) -> bytes:
    """`user:password` of basic authentication, as lenient as servers are; what is none is empty."""
    try:
        return b64decode(base64.translate(_URL_SAFE).rstrip(b"=") + b"==")
    except ValueError:
        return b""
