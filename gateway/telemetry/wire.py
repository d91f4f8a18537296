"""OTLP key-values in protobuf's wire format, written by hand. No I/O; knows nothing of spans.

Attributes are most of a span's encoding. Those that hardly vary (operation, provider, model, outcome …) are remembered
as whole encoded fields; building protobuf objects, or writing each anew, takes about 1.6 times as long.
Field numbers: opentelemetry-proto, common/v1/common.proto.
"""

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct

from gateway.model.span import AttributeValue
from gateway.telemetry.semconv import REPEATING

_double = Struct("<d").pack
_BYTE = tuple(bytes((n,)) for n in range(256))
# What comes before a string under 126 bytes: KeyValue.value (2), its length, AnyValue.string_value (1), its length.
_SHORT_TEXT = tuple(bytes((0x12, n + 2, 0x0A, n)) for n in range(126))
# A whole KeyValue.value with an AnyValue.int_value (3) from 0 to 127.
_SMALL_INT = tuple(bytes((0x12, 2, 0x18, n)) for n in range(128))
_BOOL = (b"\x12\x02\x10\x00", b"\x12\x02\x10\x01")
_INT64_MIN, _INT64_MAX, _UINT64 = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_MEMORABLE_CHARACTERS = 128
"""A model's name is the client's word: a megabyte of it must not be remembered."""


def varint(value: int) -> bytes:
    """A non-negative integer in groups of seven bits, the lowest first."""
    if value < 0x80:
        return _BYTE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def utf8(text: str) -> bytes:
    """Lone surrogates become `?`: a string that is not UTF-8 would make a store refuse the whole batch."""
    return text.encode("utf-8", "replace")


def key_values(tag: bytes, attributes: Iterable[tuple[str, AttributeValue]]) -> list[bytes]:
    """Each attribute as one field `tag` (one byte) of type KeyValue."""
    fields: list[bytes] = []
    add = fields.append
    for key, value in attributes:
        kind = type(value)
        if key in REPEATING and (kind is not str or len(value) <= _MEMORABLE_CHARACTERS):  # type: ignore[arg-type]
            add(_remembered(tag, key, value))
        else:
            add(_key_value(tag, key, value))
    return fields


def text_head(tag: bytes, key: str, length: int) -> bytes:
    """What comes before the `length` bytes of a KeyValue's string, as a field `tag`."""
    name = _key(key)
    inner = b"\x0a" + varint(length)
    head = b"\x12" + varint(len(inner) + length) + inner
    return tag + varint(len(name) + len(head) + length) + name + head


def _key_value(tag: bytes, key: str, value: AttributeValue) -> bytes:
    name = _key(key)
    if type(value) is str:
        text = value.encode("utf-8", "replace")
        length = len(text)
        if length >= 126:
            return text_head(tag, key, length) + text
        data = _SHORT_TEXT[length] + text
    else:
        data = _value(value)
    size = len(name) + len(data)
    return tag + (_BYTE[size] if size < 128 else varint(size)) + name + data


_remembered = lru_cache(maxsize=4096, typed=True)(_key_value)


@lru_cache(maxsize=2048)
def _key(key: str) -> bytes:
    """KeyValue.key (1). Names are few; a processor that invents them without end only loses the speed."""
    data = utf8(key)
    return b"\x0a" + varint(len(data)) + data


def _value(value: AttributeValue) -> bytes:
    """KeyValue.value (2) with its AnyValue."""
    if isinstance(value, float):
        return b"\x12\x09\x21" + _double(value)
    if isinstance(value, bool):
        return _BOOL[value]
    if isinstance(value, int):
        return _int(value)
    if isinstance(value, str):
        return _message(_text(value))
    return _message(_array(value))


def _int(value: int) -> bytes:
    if 0 <= value < 128:
        return _SMALL_INT[value]
    if not _INT64_MIN <= value <= _INT64_MAX:
        # A client may send a `seed` of thirty digits: as text nothing is lost; clamped it would be another number.
        return _message(_text(str(value)))
    return _message(b"\x18" + varint(value & _UINT64))


def _text(value: str) -> bytes:
    data = utf8(value)
    return b"\x0a" + varint(len(data)) + data


def _array(values: tuple[str, ...]) -> bytes:
    """AnyValue.array_value (5) of ArrayValue.values (1)."""
    items = b"".join(b"\x0a" + varint(len(item)) + item for item in map(_text, values))
    return b"\x2a" + varint(len(items)) + items


def _message(any_value: bytes) -> bytes:
    return b"\x12" + varint(len(any_value)) + any_value
