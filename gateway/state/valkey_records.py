"""How sessions, windows and keys of exchanges are called and written in Valkey. No I/O."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import msgspec

from gateway.state.rules import Session

SECRET_NAME = b"sg:secret"
SHORT = 8
"""Bytes of a digest that tell it from others."""
SESSION_PREFIX, TURN_PREFIX = b"sg:s:", b"sg:k:"
_NAME_BYTES = 9


class Change(NamedTuple):
    """One of a step's: compared first, then written."""

    name: bytes
    expected: bytes | None
    """Empty: nothing is there. None: whatever is there."""
    new: bytes | None
    """Empty: it goes. None: it stays as it is."""
    kept_ms: int = 0


class Kept(NamedTuple):
    """How long, in ms, since it was written last."""

    session_ms: int
    """Lasting pointers too."""
    passing_ms: int
    window_ms: int


class Pointer(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """Of a key to the exchange that learnt it. The script that follows it finds `name` by its place here, the first."""

    name: str
    """The session's, without what they all begin with."""
    exchange: str
    ordinal: int
    """Of the lesson."""
    learnt_ns: int
    passing: bool


class Prompt(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A user's latest input."""

    session_id: str
    at_ns: int


Record = TypeVar("Record")


def readable(decode: Callable[[bytes], Record], written: bytes) -> Record | None:
    """None for what is not ours, or another version's: as if it were not there."""
    try:
        return decode(written)
    except msgspec.MsgspecError:
        return None


decode_pointer = msgspec.msgpack.Decoder(Pointer).decode
decode_prompt = msgspec.msgpack.Decoder(Prompt).decode
decode_session = msgspec.msgpack.Decoder(Session).decode
encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode


class Names:
    """SECURITY: keyed, so that nobody can make ids that meet under one name, or in one slot."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def session(self, key: str) -> bytes:
        """`key`: `rules.session_key`'s. `talk` and what stands beside or behind it (`talk~2`) are in one slot, so that
        one script moves on from one to the other; else all is spread over the slots, whoever's it is."""
        beside = key.find("~", key.find("\n"))
        if beside < 0:
            return b"%b{%b}" % (SESSION_PREFIX, self._hash(key))
        return b"%b{%b}%b" % (SESSION_PREFIX, self._hash(key[:beside]), self._hash(key))

    def window(self, window_key: str) -> bytes:
        return b"sg:w:{%b}" % self._hash(window_key)

    def history(self, window_key: str) -> bytes:
        """Apart from the window, in its slot: who writes the one need not have read the other."""
        return b"sg:h:{%b}" % self._hash(window_key)

    @staticmethod
    def turn(digest: bytes) -> bytes:
        """The first 8 bytes are enough; the secret is in the digest already."""
        return TURN_PREFIX + urlsafe_b64encode(digest[:SHORT])[:-1]

    @staticmethod
    def short(turn: bytes) -> bytes:
        """Of the name of a turn."""
        return urlsafe_b64decode(turn.removeprefix(TURN_PREFIX) + b"=")

    def _hash(self, text: str) -> bytes:
        return urlsafe_b64encode(blake2b(text.encode(), digest_size=_NAME_BYTES, key=self._secret).digest())
