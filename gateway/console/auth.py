"""Who may read the console: the administrator's token, and browsers that showed it. Keeps no token, only its hash."""

import hmac
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gateway.console.attempts import Attempts

LOGIN_S = 12 * 3600
_MAX_LOGINS = 200
_FILE = "admin-token.sha256"


@dataclass(slots=True, frozen=True)
class AdminToken:
    hash: bytes
    made: str | None = None
    """The token itself, only where it was made just now: to be shown once."""
    chosen: bool = False
    """Somebody thought of it, so it may be a word that can be guessed."""


def admin_token(folder: Path, given: str | None) -> AdminToken:
    """The given token, else the one made at the first start, else a new one. Raises OSError for an unusable folder."""
    if given:
        return AdminToken(_hash(given), chosen=True)
    file = folder / _FILE
    try:
        return AdminToken(bytes.fromhex(file.read_text("ascii").strip()))
    except FileNotFoundError:
        pass
    except ValueError:
        raise OSError(f"{file} is damaged; delete it to have a new administrator's token made") from None
    made = secrets.token_urlsafe(32)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as written:
        written.write(_hash(made).hex() + "\n")
    return AdminToken(_hash(made), made)


@dataclass(slots=True, frozen=True)
class Login:
    """A browser that showed the token."""

    csrf: str
    """Must come with every POST of this browser."""
    until_s: float


class Auth:
    """Logins live in memory: after a restart of the control plane browsers show the token again."""

    def __init__(self, token: AdminToken, clock: Callable[[], float] = time.monotonic) -> None:
        self._token_hash = token.hash
        self._guessable = token.chosen
        self._clock = clock
        self._logins: OrderedDict[bytes, Login] = OrderedDict()
        self._attempts = Attempts(clock)
        self._logins_forgotten = 0

    def counters(self) -> dict[str, int]:
        """`logins_forgotten`, `attempts_forgotten`: what made room for others before its time."""
        return {"logins_forgotten": self._logins_forgotten, "attempts_forgotten": self._attempts.forgotten}

    def accepts(self, token: str, address: str) -> bool:
        """Raises TooManyAttemptsError where `address` showed too many wrong ones; logins it has stay good."""
        right = hmac.compare_digest(_hash(token), self._token_hash)
        # SECURITY: of a chosen token not even the right one counts then, else guessing could go on. One that was made
        # cannot be guessed, and behind a proxy everybody has one address: nobody may lock the others out.
        if not right or self._guessable:
            self._attempts.check(address)
        if right:
            self._attempts.right(address)
            return True
        self._attempts.wrong(address)
        return False

    def log_in(self) -> str:
        """A cookie's value for a browser that showed the token; the oldest login makes room where there are many."""
        cookie = secrets.token_urlsafe(32)
        self._logins[_hash(cookie)] = Login(secrets.token_urlsafe(32), self._clock() + LOGIN_S)
        if len(self._logins) > _MAX_LOGINS:
            self._logins.popitem(last=False)
            self._logins_forgotten += 1
        return cookie

    def login(self, cookie: str) -> Login | None:
        # SECURITY: looked up by hash, so that the time of the lookup tells nothing about a cookie.
        login = self._logins.get(_hash(cookie))
        if login is not None and login.until_s <= self._clock():
            self.log_out(cookie)
            return None
        return login

    def log_out(self, cookie: str) -> None:
        self._logins.pop(_hash(cookie), None)


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
