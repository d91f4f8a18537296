"""Keys in a request's path and query: taken out of what is sent on, masked in what is kept. Pure."""

import re
from urllib.parse import unquote

from gateway.model.credentials import CREDENTIAL_PARAMETERS

_KEY_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "subscription-key"})
_SECRET_PARAMETERS = _KEY_PARAMETERS | {
    *("x-amz-credential", "x-amz-signature", "x-amz-security-token", "x-goog-credential", "x-goog-signature"),
    *("awsaccesskeyid", "signature", "sig"),
}
"""Also what signs a URL, as the OpenTelemetry conventions have it for `url.query`."""
_OUR_PARAMETERS = frozenset(
    {"key", "apikey", "xapikey", "xgoogapikey", "accesstoken", "subscriptionkey", "token", "authorization", "auth"}
)
"""Where a gateway key may be, without what is no letter; anybody else's token is none of our business."""
_HELD_PARAMETERS = _OUR_PARAMETERS - {"token", "authorization", "auth"}
_KEY_IN_VALUE = re.compile(r"(?<![A-Za-z0-9_-])sg-", re.IGNORECASE)
_NO_LETTERS = re.compile(r"[^a-z0-9]+")
_SECRET = _OUR_PARAMETERS | {_NO_LETTERS.sub("", name) for name in _SECRET_PARAMETERS}
"""What is not shown, without what is no letter."""
_PATH = re.compile(r"[^?;#]*")
_MAY_HIDE = re.compile(r"[;#%]")
_PAIR_ENDS = re.compile(r"([?&;#])")
_OWNED = re.compile(rf"(?:^|[&;])({'|'.join(CREDENTIAL_PARAMETERS)})=", re.IGNORECASE)


def masked(target: str) -> str:
    """SECURITY: Google's APIs take the key in the query; it must not be stored, however its name is written."""
    path = _PATH.match(target)
    assert path is not None
    begin = path.end()
    return target if begin == len(target) else path[0] + "&".join(map(_masked_pair, target[begin:].split("&")))


def _masked_pair(pair: str) -> str:
    """Where servers cut at `;` too, what is behind a secret may still be part of it: nothing of that is shown."""
    pieces = _PAIR_ENDS.split(pair)
    for at in range(0, len(pieces), 2):
        if _secret(pieces[at]):
            name = pieces[at].partition("=")[0]
            # Another pair's name and value may be escaped in a name.
            shown = f"{name}=***" if "%" not in name or _bare(unquote(name, "latin-1")) in _SECRET else "***"
            return "".join(pieces[:at]) + shown
    return pair


def _secret(pair: str) -> bool:
    """However a server may read it, as `_carries_key`; whatever the value is, for it may be anybody's key."""
    for _ in range(2):
        pair = unquote(pair, "latin-1")
        for plain in _PAIR_ENDS.split(pair)[::2]:
            name, equals, _ = plain.partition("=")
            if equals and _bare(name) in _SECRET:
                return True
    return False


def _bare(name: str) -> str:
    return _NO_LETTERS.sub("", name.lower())


def path_without_keys(path: str, every: bool) -> str:
    """As `without_keys`: what is behind a `#` or `;` of a path. Empty where the path cannot be told from a key."""
    if not _MAY_HIDE.search(path):
        return path
    cleaned = without_keys(path, every)
    return cleaned if cleaned[:1] == "/" else ""


def without_keys(query: str, every: bool) -> str:
    """SECURITY: as in headers, a gateway key in the query never leaves; nor does a client's (`every`) beside ours.

    Servers cut at `;` too, and hand on a fragment that no client should send.
    """
    pieces = _PAIR_ENDS.split(query)
    pairs = [*zip(["", *pieces[1::2]], pieces[::2], strict=True)]
    kept = [end + pair for end, pair in pairs if not _carries_key(pair, every)]
    return query if len(kept) == len(pairs) else "".join(kept).lstrip("&;")


def _carries_key(pair: str, every: bool) -> bool:
    """However a server may read it: `key[]=`; behind a scheme, a quote or an escaped `&`; escaped twice."""
    for _ in range(2):
        pair = unquote(pair, "latin-1")
        for plain in _PAIR_ENDS.split(pair)[::2]:
            name, _, value = plain.partition("=")
            name = _bare(name)
            if (every and name in _HELD_PARAMETERS) or (name in _OUR_PARAMETERS and _KEY_IN_VALUE.search(value)):
                return True
    return False


def has_astray_key(query: str, family: str) -> bool:
    """Whether a key is in it that belongs to the APIs of other families."""
    return any(family not in CREDENTIAL_PARAMETERS[name.lower()] for name in _OWNED.findall(unquote(query)))
