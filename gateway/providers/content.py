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
_SMALL_STEP = 256
_BROTLI_PIECE = 64 * 1024
_ZSTD_WINDOW = 8 * 1024 * 1024
"""The largest window a `zstd` content coding may ask for (RFC 9659, section 3)."""
_ZSTD_STEP = 512
"""Bytes fed at a time: four of them can become a block of 128 KiB, and its decoder takes no output limit."""


_CHARSET = re.compile(r"charset([*0-9]*)\s*=\s*[\"']?([^\"';\s]*)", re.IGNORECASE)
_UNICODE = re.compile(r"(?:us-)?ascii|utf-?(?:8|(?:16|32)(?:-?[bl]e)?)|", re.IGNORECASE)


@lru_cache(maxsize=256)
def charset_known(content_type: str) -> bool:
    """SECURITY: False where a server may decode the body otherwise than JSON is: in UTF-7 other letters are written."""
    return all(not extended and _UNICODE.fullmatch(name) for extended, name in _CHARSET.findall(content_type))


class Decoded(NamedTuple):
    data: bytes
    state: State
    """`truncated`: a good beginning (the limit was reached, the bytes broke off or went bad). `unreadable`: nothing."""


def decode(body: bytes, encoding: str, limit: int) -> Decoded:
    """The body with every coding of a `content-encoding` value undone, last applied first; at most `limit` bytes."""
    codings = [name for part in encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not codings:
        return Decoded(body, "full") if len(body) <= limit else Decoded(body[:limit], "truncated")
    if len(codings) > _STACK_LIMIT or any(coding not in _DECODERS for coding in codings):
        return Decoded(b"", "unreadable")
    state: State = "full"
    for coding in reversed(codings):
        body, this = _DECODERS[coding](body, limit)
        if this == "unreadable":
            return Decoded(b"", "unreadable")
        if this == "truncated":
            state = this
    return Decoded(body, state)


def _gzip(body: bytes, limit: int) -> Decoded:
    return _zlib(body, limit, 31)


def _deflate(body: bytes, limit: int) -> Decoded:
    """RFC 9110 means the zlib format by `deflate`, some senders mean raw DEFLATE: take whichever it is."""
    wrapped = _zlib(body, limit, 15)
    return wrapped if wrapped.state != "unreadable" else _zlib(body, limit, -15)


def _zlib(body: bytes, limit: int, wbits: int) -> Decoded:
    out = bytearray()
    while body:
        member = zlib.decompressobj(wbits)
        try:
            out += member.decompress(body, limit - len(out) + 1)
            # What zlib holds back of a cut stream comes by flush, unless the limit already cut it.
            if not member.eof and len(out) <= limit:
                return _ended(out, limit, whole=False)
        except zlib.error:
            return _broken(out, body, wbits, limit)
        if len(out) > limit:
            return _ended(out, limit, whole=False)
        # A gzip body may be several members in a row (RFC 1952, 2.2).
        body = member.unused_data
        if wbits != 31 and body:
            return _ended(out, limit, whole=False)
    return _ended(out, limit, whole=True)


def _broken(out: bytearray, body: bytes, wbits: int, limit: int) -> Decoded:
    """Bad bytes somewhere in `body`: zlib drops what it had decoded of the call, so decode again in small steps."""
    member = zlib.decompressobj(wbits)
    with suppress(zlib.error):
        for start in range(0, len(body), _SMALL_STEP):
            out += member.decompress(body[start : start + _SMALL_STEP], limit - len(out) + 1)
            if len(out) > limit:
                break
    return _ended(out, limit, whole=False)


def _brotli(body: bytes, limit: int) -> Decoded:
    out = bytearray()
    try:
        return _ended(out, limit, whole=_brotli_into(out, body, limit, len(body)))
    except brotli.error:
        # The decoder drops what it had decoded of the call: decode again in small steps.
        out.clear()
        with suppress(brotli.error):
            _brotli_into(out, body, limit, _SMALL_STEP)
        return _ended(out, limit, whole=False)


def _brotli_into(out: bytearray, body: bytes, limit: int, step: int) -> bool:
    """Whether the stream came to its end within the limit."""
    decoder = brotli.Decompressor()
    for start in range(0, len(body), step or 1):
        piece = decoder.process(body[start : start + step], output_buffer_limit=_BROTLI_PIECE)
        while piece:
            out += piece
            if len(out) > limit:
                return False
            piece = b"" if decoder.is_finished() else decoder.process(b"", output_buffer_limit=_BROTLI_PIECE)
    return bool(decoder.is_finished())


def _zstd(body: bytes, limit: int) -> Decoded:
    out = bytearray()
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    rest = memoryview(body)
    try:
        while rest:
            frame = decompressor.decompressobj()
            while rest and not frame.eof and len(out) <= limit:
                out += frame.decompress(rest[:_ZSTD_STEP])
                rest = rest[_ZSTD_STEP:]
            if not frame.eof or len(out) > limit:
                return _ended(out, limit, whole=False)
            # A body may be several frames in a row (RFC 8878, 3.1): the step may have run into the next one.
            if frame.unused_data:
                rest = memoryview(frame.unused_data + bytes(rest))
    except (zstandard.ZstdError, MemoryError):
        return _ended(out, limit, whole=False)
    return _ended(out, limit, whole=True)


def _ended(out: bytearray, limit: int, whole: bool) -> Decoded:
    if len(out) > limit:
        return Decoded(bytes(out[:limit]), "truncated")
    if whole:
        return Decoded(bytes(out), "full")
    return Decoded(bytes(out), "truncated") if out else Decoded(b"", "unreadable")


_DECODERS: dict[str, Callable[[bytes, int], Decoded]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
