"""Addresses of crypto wallets: those whose checksum is right, and Ethereum's where a word tells."""

import re
from collections.abc import Iterator
from hashlib import sha256

from stdnum import bitcoin

from gateway.policy.detectors.context import told, told_by
from gateway.policy.detectors.shape import Place, Shape

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_BASE58)}
_VERSIONS = frozenset({0x1E, 0x30, 0x32, 0x41})
"""First byte of an address: Dogecoin, Litecoin (two), Tron."""
_ADDRESS = re.compile(
    rf"(?<![A-Za-z0-9])(?:[13LMDT][{_BASE58}]{{25,34}}|(?:bc1|BC1)[02-9ac-hj-np-zAC-HJ-NP-Z]{{11,71}}|0x[0-9A-Fa-f]{{40}})"
    r"(?![A-Za-z0-9])"
)
_TELLING = told_by(r"eth|ethereum|ether|wallet|usdt|usdc|erc-?20|metamask|crypto|send(?: it)? to|donat\w{0,5}|deposit")


def wallet_places(text: str) -> Iterator[Place | None]:
    """Bitcoin, Litecoin, Dogecoin, Tron; Ethereum's have no checksum that all who write them keep."""
    for match in _ADDRESS.finditer(text):
        written = match[0]
        if written.startswith("0x"):
            valid = told(_TELLING, text, match.start())
        else:
            valid = bitcoin.is_valid(written) or _right_checksum(written)
        yield match.span() if valid else None


def _right_checksum(written: str) -> bool:
    """Base58Check: a version byte, 20 bytes, and the beginning of the double SHA-256 of both."""
    number = 0
    for digit in written:
        if digit not in _VALUES:
            return False
        number = number * 58 + _VALUES[digit]
    if number >= 1 << 200:
        return False
    data = number.to_bytes(25, "big")
    return data[0] in _VERSIONS and sha256(sha256(data[:21]).digest()).digest()[:4] == data[21:]


WALLETS = (
    Shape(
        "entity:crypto_wallet",
        r"\b(?:[13LMDT][1-9A-HJ-NP-Za-km-z]{25,34}|(?:bc1|BC1)[0-9A-Za-z]{11,71}|0x[0-9A-Fa-f]{40})\b",
        find=wallet_places,
    ),
)
