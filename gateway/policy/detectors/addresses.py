"""E-mail, IP and MAC addresses: those that lead to somebody, not those of examples, private networks and versions."""

import re
from collections.abc import Iterator
from ipaddress import ip_address

from stdnum import mac

from gateway.policy.detectors.shape import Place, Shape

_AT = re.compile(r"@(?<=[A-Za-z0-9._%+-]@)(?=[A-Za-z0-9])")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])")
_LOCAL_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-"
_FILE_ENDINGS = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "json", "html"})
_IPV4 = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
_IP = re.compile(
    rf"(?<![\w.:/-]){_IPV4}(?![\w-]|\.[0-9])"
    r"|(?<![\w.:])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::|[0-9A-Fa-f]{1,4})(?::?[0-9A-Fa-f]{1,4}){0,6}(?![\w:])"
)
_VERSION = re.compile(r"(?:version|release|build|firmware|driver|\bver\.?|\bv)\W{0,3}\Z", re.IGNORECASE)
_MAC = re.compile(
    r"(?<![0-9A-Fa-f:-])(?:(?:[0-9A-Fa-f]{2}:){5}|(?:[0-9A-Fa-f]{2}-){5})[0-9A-Fa-f]{2}(?![:-]?[0-9A-Fa-f])"
)


def email_places(text: str) -> Iterator[Place | None]:
    """E-mail addresses; None for SSH remotes, passwords in URLs, `icon@2x.png`."""
    position = done = 0
    while (at := _AT.search(text, position)) is not None:
        place = _email_around(text, at.start(), done)
        yield place
        if place is not None:
            done = place[1]
        position = max(at.end(), done)


def _email_around(text: str, at: int, done: int) -> Place | None:
    head = text[max(done, at - 64) : at]
    local = head[len(head.rstrip(_LOCAL_CHARACTERS)) :].lstrip(".-%+")
    domain = _DOMAIN.match(text, at + 1)
    if not local or domain is None or domain[0].rpartition(".")[2].lower() in _FILE_ENDINGS:
        return None
    start = at - len(local)
    if local == "git" and text[domain.end() : domain.end() + 1] in (":", "/"):
        return None
    if "://" in re.split(r"[\s\"'<>]", text[max(0, start - 200) : start])[-1]:
        return None  # user and password of a URL
    return start, domain.end()


def ip_places(text: str) -> Iterator[Place | None]:
    """Addresses of the public Internet. Four small numbers are rather a version."""
    for match in _IP.finditer(text):
        yield match.span() if _public(match[0]) and not _version(text, match) else None


def _public(written: str) -> bool:
    try:
        return ip_address(written).is_global
    except ValueError:
        return False


def _version(text: str, match: re.Match[str]) -> bool:
    numbers = match[0].split(".")
    small = len(numbers) == 4 and all(len(number) < 3 for number in numbers)
    return small or _VERSION.search(text, max(0, match.start() - 16), match.start()) is not None


def mac_places(text: str) -> Iterator[Place | None]:
    """Addresses whose first half IEEE has given to a manufacturer; six pairs of a longer fingerprint are none."""
    for match in _MAC.finditer(text):
        yield match.span() if _manufactured(match[0]) else None


def _manufactured(written: str) -> bool:
    try:
        mac.validate(written, validate_manufacturer=True)
    except ValueError:
        return False
    return True


ADDRESSES = (
    Shape("entity:email", r"[A-Z0-9_%+-]@[A-Z0-9][A-Z0-9.-]{0,100}\.[A-Z]{2}", ignore_case=True, find=email_places),
    Shape("entity:ip_address", rf"\b{_IPV4}\b|[0-9A-Fa-f]:[0-9A-Fa-f]{{0,4}}:[0-9A-Fa-f:]", find=ip_places),
    Shape("entity:mac_address", r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b", find=mac_places),
)
