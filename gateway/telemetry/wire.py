"""OTLP key-values in protobuf's wire format, written by hand. No I/O; knows nothing of spans.

Attributes are most of a span's encoding, and building protobuf objects takes several times as long. What comes before a
value (tag, lengths, name) is remembered by name and length; values are not, they are the business of who shares them.
Field numbers: opentelemetry-proto, common/v1/common.proto.
"""

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct

from gateway.model.span import Attribute, AttributeValue, Block

_double = Struct("<d").pack
_BYTE = tuple(bytes((n,)) for n in range(256))
_DOUBLE = b"\x12\x09\x21"  # What comes before an AnyValue.double_value (4).
_BOOL = (b"\x12\x02\x10\x00", b"\x12\x02\x10\x01")
_INT64_MIN, _INT64_MAX, _UINT64 = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_SHORT = 4096
"""Bytes of a text up to which what comes before it is remembered; a name has as many heads as its texts lengths."""


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
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def key_values(tag: bytes, parts: Iterable[Attribute | Block]) -> list[bytes]:
    """Each attribute as one field `tag` (one byte) of type KeyValue, in pieces that the caller joins with all others.

    Blocks keep their bytes, tag included: they stand in spans only, never in events or resources.
    """
    fields: list[bytes] = []
    for part in parts:
        if type(part) is Block:
            fields.append(part.encoded or _block(tag, part))
            continue
        key, value = part  # type: ignore[misc]  # no block, so an attribute
        if type(value) is str:
            try:
                data = value.encode()
            except UnicodeEncodeError:
                data = utf8(value)
            size = len(data)
            head = _short_text_head(tag, key, size) if size < _SHORT else _text_head(tag, key, size)
            fields += (head, data)
        elif type(value) is float:
            fields += (_short_value_head(tag, key, 11), _DOUBLE, _double(value))
        else:
            data = _int(value) if type(value) is int else _value(value)
            size = len(data)
            fields += (_short_value_head(tag, key, size) if size < 16 else _value_head(tag, key, size), data)
    return fields


def _block(tag: bytes, block: Block) -> bytes:
    block.encoded = b"".join(key_values(tag, block.attributes))
    return block.encoded


def text_head(tag: bytes, key: str, length: int) -> bytes:
    """What comes before the `length` bytes of a KeyValue's string, as a field `tag`."""
    return _short_text_head(tag, key, length) if length < _SHORT else _text_head(tag, key, length)


def _text_head(tag: bytes, key: str, length: int) -> bytes:
    name = _key(key)
    text_size = varint(length)
    any_length = 1 + len(text_size) + length
    any_size = varint(any_length)
    size = varint(len(name) + 1 + len(any_size) + any_length)
    return b"%b%b%b\x12%b\x0a%b" % (tag, size, name, any_size, text_size)


def _value_head(tag: bytes, key: str, size: int) -> bytes:
    """What comes before the `size` bytes of a KeyValue.value (2), as a field `tag`."""
    name = _key(key)
    return tag + varint(len(name) + size) + name


_short_text_head = lru_cache(maxsize=8192)(_text_head)
_short_value_head = lru_cache(maxsize=1024)(_value_head)


@lru_cache(maxsize=2048)
def _key(key: str) -> bytes:
    """KeyValue.key (1). Names are few; a processor that invents them without end only loses the speed."""
    data = utf8(key)
    return b"\x0a" + varint(len(data)) + data


def _value(value: AttributeValue) -> bytes:
    """KeyValue.value (2) with its AnyValue."""
    if isinstance(value, float):
        return _DOUBLE + _double(value)
    if isinstance(value, bool):
        return _BOOL[value]
    if isinstance(value, int):
        return _int(value)
    if isinstance(value, str):
        return _message(_text(value))
    return _message(_array(value))


# Counts of tokens are small numbers, and most of all numbers.
@lru_cache(maxsize=4096)
def _int(value: int) -> bytes:
    if 0 <= value < 128:
        return bytes((0x12, 2, 0x18, value))
    if 128 <= value < 0x4000:
        return bytes((0x12, 3, 0x18, value & 0x7F | 0x80, value >> 7))
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
