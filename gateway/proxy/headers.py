"""Which headers cross, and the heads of requests and responses as bytes. Pure."""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import compress

from gateway.model.exchange import Headers

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110, 7.6.1."""

NOT_FORWARDED = HOP_BY_HOP | {b"expect"}
"""Requests: the gateway answers `Expect` itself."""

OURS = b"x-spangate-"
"""What the gateway's own headers begin with: nobody else speaks for it, and they are for it alone."""

_NO_TRAILER = NOT_FORWARDED | {
    *(b"content-length", b"content-encoding", b"content-type", b"content-range", b"host", b"max-forwards"),
    *(b"cache-control", b"pragma", b"range", b"if-match", b"if-none-match", b"if-modified-since"),
    *(b"if-unmodified-since", b"if-range", b"authorization", b"www-authenticate", b"cookie", b"set-cookie"),
    *(b"age", b"date", b"expires", b"location", b"retry-after", b"vary", b"warning"),
}
"""RFC 9110, 6.5.1: what frames, routes, authenticates or controls must stand in front of the body."""

_TOKENS = re.compile(rb"[^\s,]+")


_JOINED = frozenset({b"connection", b"content-encoding", b"transfer-encoding"})
_FRAMING = (b"content-length", b"transfer-encoding", b"host", b"content-type")


def by_name(headers: Headers) -> dict[bytes, bytes]:
    """Values by lower-case name; of a repeated header the last value, of lists that the gateway reads all of them."""
    fields = {name.lower(): value for name, value in headers}
    if len(fields) == len(headers):
        return fields
    fields = {}
    for name, value in headers:
        lower = name.lower()
        fields[lower] = fields[lower] + b"," + value if lower in fields and lower in _JOINED else value
    return fields


def repeats_framing(headers: Headers) -> bool:
    """Whether what says where a message ends, whose it is, or how to read it, stands there more than once."""
    names = [name.lower() for name, _ in headers]
    return any(names.count(name) > 1 for name in _FRAMING)


def size_of(target: bytes, headers: Headers) -> int:
    """Of a request's head, nearly: its method and version are short."""
    return len(target) + sum(len(name) + len(value) + 4 for name, value in headers)


_NEVER_NAMED = frozenset({b"content-length", b"host"})
_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close"})


def named_in_connection(value: bytes) -> frozenset[bytes]:
    """The header names that Connection headers, joined by commas, make hop-by-hop.

    SECURITY: never the length or the host. Without its length a body would be the next request on a connection that
    others share; it is end-to-end information whatever a sender says (RFC 9110, 7.6.1).
    """
    lower = value.lower()
    return frozenset() if lower in _PLAIN_CONNECTION else frozenset(_TOKENS.findall(lower)) - _NEVER_NAMED


def forwardable(headers: Headers, fields: dict[bytes, bytes], dropped: frozenset[bytes]) -> Headers:
    """The end-to-end headers, name, value and order kept; `fields` are the same by name.

    SECURITY: a header named in Connection must not cross (RFC 9110, 7.6.1); nobody but the gateway speaks for it.
    """
    connection = fields.get(b"connection")
    if connection is not None:
        dropped |= named_in_connection(connection)
    names = lower_names(headers, fields)
    crosses = known_crossing(names, dropped) if len(names) <= MANY else crossing(names, dropped)
    return list(compress(headers, crosses))


def lower_names(headers: Headers, fields: dict[bytes, bytes]) -> tuple[bytes, ...]:
    """The headers' names in lower case, in their order: the map's own, where none is repeated."""
    return tuple(fields) if len(fields) == len(headers) else tuple([name.lower() for name, _ in headers])


MANY = 64
"""Header names; more of them are no client's of today, and not worth remembering."""


def crossing(names: tuple[bytes, ...], dropped: frozenset[bytes]) -> tuple[bool, ...]:
    """Which of the headers with these names cross: all but `dropped` and the gateway's own."""
    return tuple([name not in dropped and not _is_ours(name) for name in names])


def _is_ours(name: bytes) -> bool:
    """A server that hands headers on as variables, as CGI does, tells `_` from `-` no more."""
    return name.replace(b"_", b"-").startswith(OURS)


# A client sends the same names with every call, an upstream with every answer.
known_crossing = lru_cache(maxsize=256)(crossing)


def for_a_plain_answer(forward: Headers) -> Headers:
    """A request's headers for an answer in no coding: saying nothing would allow any (RFC 9110, 12.5.3)."""
    others = [header for header in forward if header[0].lower() != b"accept-encoding"]
    return [*others, (b"Accept-Encoding", b"identity")]


def trailer_lines(trailers: Headers, fields: dict[bytes, bytes], withheld: frozenset[bytes] = frozenset()) -> bytes:
    """The trailers that may cross, as lines; `fields` are the headers of their message by name.

    SECURITY: nothing comes in by the back door that would have been stopped in front (RFC 9110, 6.5.1).
    """
    dropped = _NO_TRAILER | withheld | named_in_connection(fields.get(b"connection", b""))
    names = tuple([name.lower() for name, _ in trailers])
    return lines(compress(trailers, crossing(names, dropped)))


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines, each with its line end."""
    text = b"\r\n".join(map(b": ".join, headers))  # half the time of formatting each
    return text + b"\r\n" if text else b""


def request_head(method: str, target: bytes, headers: Headers, framing: bytes) -> bytes:
    """`headers` with the upstream's Host; `framing` is a whole header line or empty."""
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method.encode(), target, lines(headers), framing)


def without_authority(target: bytes) -> bytes:
    """Origin form of a target in absolute form (`http://gateway:4000/v1/models?x`); others as they are."""
    if target[:1] == b"/" or b"://" not in target[:9]:
        return target
    rest = target.split(b"://", 1)[1]
    authority = re.split(rb"[/?]", rest, maxsplit=1)[0]
    below = rest[len(authority) :]
    return below if below[:1] == b"/" else b"/" + below
