"""Keys, tokens and passwords by the shapes their providers document. Looks at shape and context, never tries a key.

What is noticed is in the subset that Hyperscan and Python's `re` both understand; a group is the part that is secret.
Every exact expression is tried only where its start was seen, and takes at most a few hundred characters.
"""

import math
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator

from gateway.policy.detectors.keys import MARKED
from gateway.policy.detectors.shape import Place, Shape

_PRIVATE_KEY = r"-----BEGIN (?:[A-Z0-9]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----"
_PUTTY_KEY = r"PuTTY-User-Key-File-[23]: [a-z0-9-]{5,30}"
_PLACEHOLDERS = re.compile(
    r"change.?me|example|placeholder|redacted|your|xxxx|\*\*\*|<|\$\{|\{\{|%\(|\.\.\.|^password\d*$|^passwd$|^secret$|^pass$|^test",
    re.IGNORECASE,
)


def _not_filler(value: str) -> bool:
    """Not `sk-xxxxxxxxxxxx`: documentation writes keys so."""
    tail = value[-12:].lower()
    return len(set(tail)) > 1 or tail[-1] not in "x*.0"


def _random(value: str) -> bool:
    """As mixed as generated keys are: at least three bits a character, letters and digits."""
    return _mixed(value) and _bits_a_character(value) >= 3.0


def _mixed(value: str) -> bool:
    if _PLACEHOLDERS.search(value):
        return False
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _guarded(value: str) -> bool:
    """A quoted password: more than letters, and no word that stands for one. `_` and `.` are in names of code too."""
    more = any(not c.isalpha() and c not in "_." for c in value)
    return more and any(c.isalpha() for c in value) and _real(value) and _bits_a_character(value) >= 2.5


def _stated(value: str) -> bool:
    """A password in a sentence: letters and figures at least, or it is any word."""
    return _guarded(value) and any(c.isdigit() for c in value)


def _user_and_password(value: str) -> bool:
    try:
        return b":" in b64decode(value)
    except ValueError:
        return False


def _real(value: str) -> bool:
    return not _PLACEHOLDERS.search(value)


def _bits_a_character(value: str) -> float:
    """Shannon entropy."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


_SCHEMES = (
    r"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|mssql|sqlserver|clickhouse|cockroachdb"
    r"|cloudinary|nats|s?ftp|smtps?|ldaps?|https?)(?:\+[a-z0-9]{1,20})?://"
)
_ASSIGNED = (
    r"(?:passwd|password|passphrase|pwd|secret|secret_?key|client_?secret|api[_-]?key|access_?key|access_?token"
    r"|auth_?token|private_?key)"
)
_STATED = (
    r"(?:pass(?:word|code|phrase)|passwort|kennwort|contrase.{1,2}a|mot de passe|wachtwoord|senha)[ :]{1,2}"
    r"(?:is|ist|es|est|lautet|now)[ :]{1,2}[\"'`]?"
)
_QUOTED = _ASSIGNED + r"[\"']?[ \t]{0,4}(?::=|=>|=|:)[ \t]{0,4}[\"']"
_PLAIN = (
    r"(?:password|passwd|secret|secret_?key|api_?key|access_?key|access_?token|auth_?token)"
    r"[ \t]{0,2}[=:][ \t]{0,2}"
)

# Values that only their surroundings give away: name, what to notice, the exact shape ("" for the same), and what the
# value must look like. Two expressions where Hyperscan finds the exact one too large to give its start.
_TOLD: tuple[tuple[str, str, str, Callable[[str], bool]], ...] = (
    (
        "aws_secret_access_key",
        r"\b(?:aws_?)?secret_?(?:access_?)?key[\"' :=>]{1,8}[A-Za-z0-9/+]{40}",
        r"(?:aws_?)?secret_?(?:access_?)?key[\"' :=>]{1,8}([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        _mixed,
    ),
    ("aws_session_token", r"\baws_session_token[\"' :=>]{1,8}([A-Za-z0-9/+]{100,500})", "", _random),
    ("azure_openai_key", r"\bazure[a-z_ -]{0,20}key[\"' :=]{1,6}([0-9a-f]{32}|[a-z0-9]{84})\b", "", _random),
    (
        "named_key",
        r"\b(?:mistral|cohere|together|deepgram|assemblyai|algolia|okta|fastly|wandb|snyk|circleci|buildkite|elastic"
        r"|mapbox|plaid|intercom|zendesk|segment|mixpanel|pagerduty|opsgenie)[a-z_ -]{0,20}(?:key|token|secret)"
        r"[\"' :=]{1,6}([A-Za-z0-9_-]{24,64})\b",
        "",
        _random,
    ),
    ("npm_auth_token", r"_authToken *=", r"_authToken *= *([A-Za-z0-9_./+=-]{16,200})", _random),
    (
        "docker_auth",
        r"\"auth\" *: *\"[A-Za-z0-9+/]{12}",
        r"\"auth\" *: *\"([A-Za-z0-9+/]{12,200}={0,2})\"",
        _user_and_password,
    ),
    ("netrc_password", r"\bmachine\s+[^\s]{1,100}\s+login\s+[^\s]{1,100}\s+password\s+([^\s]{4,100})", "", _guarded),
    (
        "curl_password",
        r"\bcurl[ ]",
        r"curl[ ][^\r\n]{0,200}?-u[ ]?[\"']?[^\s:\"']{1,60}:([^\s\"']{4,100})",
        _real,
    ),
    ("sshpass_password", r"\bsshpass +-p", r"sshpass +-p ?[\"']?([^\s\"']{4,100})", _real),
    (
        "stated_password",
        _STATED,
        _STATED + r"([^\s\"'`,;]{6,60})",
        _stated,
    ),
    ("azure_storage_key", r"\bAccountKey=([A-Za-z0-9+/]{86}==)", "", _real),
    ("azure_shared_access_key", r"\bSharedAccessKey=([A-Za-z0-9+/]{43}=)", "", _real),
    ("azure_client_secret", r"\b([A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})", "", _random),
    ("twilio_auth_token", r"\btwilio[a-z_ ]{0,20}token[\"' :=]{1,6}([0-9a-f]{32})\b", "", _random),
    ("datadog_key", r"\b(?:dd|datadog)_(?:api|app)_?key[\"' :=]{1,6}([0-9a-f]{32,40})\b", "", _random),
    ("cloudflare_token", r"\b(?:cf|cloudflare)_api_(?:token|key)[\"' :=]{1,6}([A-Za-z0-9_-]{37,40})\b", "", _random),
    (
        "connection_string",
        _SCHEMES + r"[^\s:/@\"'<>]*:[^\s:/@\"'<>]{3}",
        _SCHEMES + r"[^\s:/@\"'<>]{0,100}:([^\s:/@\"'<>]{3,200})@[^\s\"'<>/@]",
        _real,
    ),
    (
        "server_password",
        r"\bserver=[a-z0-9]",
        r"server=[^;\s]{1,100};[^\"'\r\n]{0,200}?\b(?:password|pwd)=([^;\s\"']{4,100})",
        _real,
    ),
    ("authorization_bearer", r"\bbearer[ \t]{1,3}([A-Za-z0-9_~+/.-]{20,}={0,2})", "", _random),
    ("authorization_basic", r"\bauthorization[\"' :=]{1,6}basic[ \t]{1,3}([A-Za-z0-9+/]{12,}={0,2})", "", _real),
    ("quoted_assignment", _QUOTED + r"[^\s\"'`]{8}", _QUOTED + r"([^\s\"'`]{8,200})[\"']", _guarded),
    (
        "plain_assignment",
        _PLAIN + r"[A-Za-z0-9+/_~!@#%^&*-]{8}",
        _PLAIN + r"([A-Za-z0-9+/_~!@#%^&*-]{8,200})(?![A-Za-z0-9+/_~!@#%^&*.(\[-])",
        _random,
    ),
)


def _marked_shape(name: str, expression: str) -> Shape:
    return Shape(f"secret:{name}", expression, confirm=_confirmer(expression, False, _not_filler))


def _told_shape(name: str, noticed: str, exact: str, accepted: Callable[[str], bool]) -> Shape:
    return Shape(f"secret:{name}", noticed, ignore_case=True, confirm=_confirmer(exact or noticed, True, accepted))


def _confirmer(
    expression: str, ignore_case: bool, accepted: Callable[[str], bool]
) -> Callable[[str, int], Place | None]:
    flags = re.ASCII | (re.IGNORECASE if ignore_case else 0)

    def confirm(text: str, start: int) -> Place | None:
        match = re.compile(expression, flags).match(text, start)  # compiled once: `re` remembers it
        if match is None:
            return None
        place = match.span(1 if match.re.groups else 0)
        return place if accepted(text[place[0] : place[1]]) else None

    return confirm


def private_key_places(text: str) -> Iterator[Place]:
    """Whole blocks, to the END line or, where it is missing, to the end of the text."""
    return _blocks(text, _PRIVATE_KEY, "-----END ", "-----")


def putty_key_places(text: str) -> Iterator[Place]:
    """PuTTY's files, to the end of the line with their checksum."""
    return _blocks(text, _PUTTY_KEY, "Private-MAC:", "\n")


def _blocks(text: str, begins: str, last: str, ends: str) -> Iterator[Place]:
    position = 0
    while (begin := re.compile(begins).search(text, position)) is not None:
        end = text.find(last, begin.end())
        closing = text.find(ends, end + len(last)) if end >= 0 else -1
        position = closing + len(ends) if closing >= 0 else len(text)
        yield begin.start(), position


SECRETS: dict[str, Shape] = {
    shape.name.partition(":")[2]: shape
    for shape in (
        Shape("secret:private_key", _PRIVATE_KEY, find=private_key_places),
        Shape("secret:putty_private_key", _PUTTY_KEY, find=putty_key_places),
        *(_marked_shape(*row) for row in MARKED),
        *(_told_shape(*row) for row in _TOLD),
    )
}
