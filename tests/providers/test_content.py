"""Content decoding is bounded, keeps what can be decoded, and never raises."""

import gzip
import random
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.content import decode

LIMIT = 1 << 20
TEXT = b"".join(b'{"n": %d, "word": "%x"}\n' % (i, i * 7919) for i in range(4000))

LONG_TEXT = b"".join(b'{"n": %d, "word": "%x"}\n' % (i, i * 7919) for i in range(30000))


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zstd_stream(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate ": raw_deflate,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    " ZSTD": zstd_stream,
    "identity": bytes,
    "": bytes,
}
PACKED = {name: pack for name, pack in PACKERS.items() if name not in ("", "identity")}


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("text", [TEXT, b"", b"x"], ids=["long", "empty", "one"])
def test_a_whole_body_is_decoded(encoding: str, text: bytes) -> None:
    assert decode(PACKERS[encoding](text), encoding, LIMIT) == (text, "full")


@pytest.mark.parametrize("encoding", ["gzip, br", "br,zstd", "deflate, gzip, zstd, br"])
def test_stacked_codings_are_undone_last_first(encoding: str) -> None:
    body = TEXT
    for coding in encoding.split(","):
        body = PACKERS[coding.strip()](body)
    assert decode(body, encoding, LIMIT) == (TEXT, "full")


@pytest.mark.parametrize("encoding", PACKED)
def test_a_broken_off_body_gives_its_beginning(encoding: str) -> None:
    body = PACKED[encoding](LONG_TEXT)
    data, state = decode(body[: len(body) * 2 // 3], encoding, 2 * LIMIT)
    assert state == "truncated"
    assert len(data) > 1000
    assert LONG_TEXT.startswith(data)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_goes_bad_gives_what_was_before(encoding: str) -> None:
    body = PACKED[encoding](TEXT)
    data, state = decode(body[: len(body) // 2] + b"\xff" * 400, encoding, LIMIT)
    assert state == "truncated"
    assert TEXT[:1000] == data[:1000]


@pytest.mark.parametrize("encoding", PACKED)
def test_a_bomb_stops_at_the_limit(encoding: str) -> None:
    body = PACKED[encoding](b"\0" * 30_000_000)
    assert decode(body, encoding, 5000) == (b"\0" * 5000, "truncated")


@pytest.mark.parametrize("encoding", PACKED)
def test_a_body_of_exactly_the_limit_is_full(encoding: str) -> None:
    assert decode(PACKED[encoding](TEXT), encoding, len(TEXT)) == (TEXT, "full")
    assert decode(PACKED[encoding](TEXT), encoding, len(TEXT) - 1) == (TEXT[:-1], "truncated")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_members_in_a_row_are_one_body(encoding: str) -> None:
    assert decode(PACKED[encoding](b"one ") + PACKED[encoding](b"two"), encoding, LIMIT) == (b"one two", "full")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("sizes", [(0, 0, 40_000, 1), (16_000, 100_000, 0, 70_000), (1,) * 256], ids=str)
def test_members_are_found_wherever_the_steps_cut(encoding: str, sizes: tuple[int, ...]) -> None:
    texts = [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]
    assert decode(b"".join(map(PACKED[encoding], texts)), encoding, LIMIT) == (b"".join(texts), "full")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_of_very_many_members_only_the_first_are_read(encoding: str) -> None:
    assert decode(PACKED[encoding](b"x") * 20_000, encoding, LIMIT) == (b"x" * 256, "truncated")
    assert decode(PACKED[encoding](b"") * 20_000, encoding, LIMIT) == (b"", "unreadable")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_all_codings_of_a_body_share_the_members_it_may_have(encoding: str) -> None:
    inner = PACKED[encoding](b"x") * 200
    outer = b"".join(PACKED[encoding](inner[at : at + 20]) for at in range(0, 2000, 20))
    data, state = decode(outer, f"{encoding}, {encoding}", LIMIT)
    assert state == "truncated"
    assert inner[:2000] == decode(outer, encoding, LIMIT).data
    assert 0 < len(data) < 200


@pytest.mark.parametrize("encoding", PACKED)
def test_what_follows_the_end_is_not_passed_over_in_silence(encoding: str) -> None:
    data, state = decode(PACKED[encoding](TEXT) + b"and more", encoding, LIMIT)
    assert state == "truncated"
    assert TEXT.startswith(data)
    assert len(data) > len(TEXT) * 0.9


@pytest.mark.parametrize("encoding", [*PACKED, "compress", "gzip, what", "gzip, gzip, gzip, gzip, gzip"])
def test_what_is_not_so_encoded_is_unreadable(encoding: str) -> None:
    assert decode(b'{"plain": "json"}', encoding, LIMIT) == (b"", "unreadable")


@given(body=st.binary(max_size=200), encoding=st.sampled_from([*PACKED, "gzip, br", "a,b", ",", "\0"]))
def test_no_bytes_make_it_raise(body: bytes, encoding: str) -> None:
    data, _ = decode(body, encoding, 1000)
    assert len(data) <= 1000
