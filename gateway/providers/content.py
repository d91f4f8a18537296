"""Undoes `content-encoding` on a captured copy, within a bound: gzip, deflate, br, zstd, and stacks of them.

Never raises and never grows past its limit, whatever the bytes claim. No I/O.
"""

import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Literal, NamedTuple

import brotli
import zstandard

State = Literal["full", "truncated", "unreadable"]
_STACK_LIMIT = 4
_MEMBERS_MAX = 256
"""Members of gzip and frames of zstd that a body may have: each costs a decoder, and may be twenty bytes of nothing."""
_SMALL_STEP = 256
_ZLIB_STEP = 16 * 1024
_BROTLI_PIECE = 64 * 1024
_ZSTD_WINDOW = 8 * 1024 * 1024
"""The largest window a `zstd` content coding may ask for (RFC 9659, section 3)."""
_ZSTD_STEP = 512
"""Bytes fed at a time: four of them can become a block of 128 KiB, and its decoder takes no output limit."""


_CHARSET = re.compile(r"charset([*0-9]*)\s*=\s*[\"']?([^\"';\s]*)", re.IGNORECASE)
_UNICODE = re.compile(r"(?:us-)?ascii|utf-?(?:8|(?:16|32)(?:-?[bl]e)?)|", re.IGNORECASE)
_MORE_THAN_ASCII = re.compile(r"iso-?8859-?\d{1,2}|latin-?\d{1,2}|(?:windows-?|cp)125\d", re.IGNORECASE)


def charset_known(content_type: str, text: bytes) -> bool:
    """SECURITY: False where a server may read the text otherwise than as Unicode: in UTF-7 other letters are written.

    Where the charset is ASCII and more, and the text ASCII alone, there is one way to read it. A form's parts have
    charsets of their own.
    """
    odd = _odd_charset(content_type)
    return not odd or (odd == "more than ASCII" and text.isascii())


@lru_cache(maxsize=256)
def _odd_charset(content_type: str) -> Literal["", "more than ASCII", "unknown"]:
    if content_type.lstrip()[:10].lower() == "multipart/":
        return ""
    odd = [(extended, name) for extended, name in _CHARSET.findall(content_type) if not _UNICODE.fullmatch(name)]
    odd += [(extended, name) for extended, name in _CHARSET.findall(content_type) if extended]
    if all(not extended and _MORE_THAN_ASCII.fullmatch(name) for extended, name in odd):
        return "more than ASCII" if odd else ""
    return "unknown"


class Decoded(NamedTuple):
    data: bytes
    state: State
    """`truncated`: a good beginning (a limit was reached, the bytes broke off or went bad). `unreadable`: nothing."""


class _Members:
    """How many members and frames the codings of one body may still begin, all together."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _MEMBERS_MAX

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0


def decode(body: bytes, encoding: str, limit: int) -> Decoded:
    """The body with every coding of a `content-encoding` value undone, last applied first; at most `limit` bytes."""
    codings = [name for part in encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not codings:
        return Decoded(body, "full") if len(body) <= limit else Decoded(body[:limit], "truncated")
    if len(codings) > _STACK_LIMIT or any(coding not in _DECODERS for coding in codings):
        return Decoded(b"", "unreadable")
    state: State = "full"
    members = _Members()
    for coding in reversed(codings):
        body, this = _DECODERS[coding](body, limit, members)
        if this == "unreadable":
            return Decoded(b"", "unreadable")
        if this == "truncated":
            state = this
    return Decoded(body, state)


def _gzip(body: bytes, limit: int, members: _Members) -> Decoded:
    return _zlib(body, limit, 31, members)


def _deflate(body: bytes, limit: int, members: _Members) -> Decoded:
    """RFC 9110 means the zlib format by `deflate`, some senders mean raw DEFLATE: take whichever it is."""
    wrapped = _zlib(body, limit, 15, members)
    return wrapped if wrapped.state != "unreadable" else _zlib(body, limit, -15, members)


def _zlib(body: bytes, limit: int, wbits: int, members: _Members) -> Decoded:
    out = bytearray()
    at = 0
    while at < len(body):
        if not members.take():
            return _ended(out, limit, whole=False)
        member = zlib.decompressobj(wbits)
        begin, before = at, len(out)
        try:
            while at < len(body) and not member.eof and len(out) <= limit:
                out += member.decompress(body[at : at + _ZLIB_STEP], limit - len(out) + 1)
                at = min(at + _ZLIB_STEP, len(body))
        except zlib.error:
            del out[before:]
            return _broken(out, body, begin, wbits, limit)
        if not member.eof or len(out) > limit:
            return _ended(out, limit, whole=False)
        # A gzip body may be several members in a row (RFC 1952, 2.2): the step may have run into the next one.
        at -= len(member.unused_data)
        if wbits != 31 and at < len(body):
            return _ended(out, limit, whole=False)
    return _ended(out, limit, whole=True)


def _broken(out: bytearray, body: bytes, begin: int, wbits: int, limit: int) -> Decoded:
    """Bad bytes somewhere in the member that begins there: zlib drops what it had decoded of the call, so decode it
    again in small steps."""
    member = zlib.decompressobj(wbits)
    with suppress(zlib.error):
        for start in range(begin, len(body), _SMALL_STEP):
            out += member.decompress(body[start : start + _SMALL_STEP], limit - len(out) + 1)
            if len(out) > limit:
                break
    return _ended(out, limit, whole=False)


def _brotli(body: bytes, limit: int, _: _Members) -> Decoded:
    out = bytearray()
    try:
        return _ended(out, limit, whole=_brotli_into(out, body, limit, _BROTLI_PIECE))
    except brotli.error:
        # The decoder drops what it had decoded of the call: decode again in small steps.
        out.clear()
        with suppress(brotli.error):
            _brotli_into(out, body, limit, _SMALL_STEP)
        return _ended(out, limit, whole=False)


def _brotli_into(out: bytearray, body: bytes, limit: int, step: int) -> bool:
    """Whether the stream came to its end within the limit."""
    decoder = brotli.Decompressor()
    for start in range(0, len(body), step):
        piece = decoder.process(body[start : start + step], output_buffer_limit=_BROTLI_PIECE)
        while piece:
            out += piece
            if len(out) > limit:
                return False
            piece = b"" if decoder.is_finished() else decoder.process(b"", output_buffer_limit=_BROTLI_PIECE)
    return bool(decoder.is_finished())


def _zstd(body: bytes, limit: int, members: _Members) -> Decoded:
    out = bytearray()
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    at = 0
    try:
        while at < len(body):
            if not members.take():
                return _ended(out, limit, whole=False)
            frame = decompressor.decompressobj()
            while at < len(body) and not frame.eof and len(out) <= limit:
                out += frame.decompress(body[at : at + _ZSTD_STEP])
                at = min(at + _ZSTD_STEP, len(body))
            if not frame.eof or len(out) > limit:
                return _ended(out, limit, whole=False)
            # A body may be several frames in a row (RFC 8878, 3.1): the step may have run into the next one.
            at -= len(frame.unused_data)
    except (zstandard.ZstdError, MemoryError):
        return _ended(out, limit, whole=False)
    return _ended(out, limit, whole=True)


def _ended(out: bytearray, limit: int, whole: bool) -> Decoded:
    if len(out) > limit:
        return Decoded(bytes(out[:limit]), "truncated")
    if whole:
        return Decoded(bytes(out), "full")
    return Decoded(bytes(out), "truncated") if out else Decoded(b"", "unreadable")


_DECODERS: dict[str, Callable[[bytes, int, _Members], Decoded]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
