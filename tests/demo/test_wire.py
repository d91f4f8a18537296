"""What the built-in model really puts on the wire, byte by byte, above all where it breaks the rules on purpose."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
import zstandard

from gateway.demo.behaviour import ERRORS, WORDS, behaviour_of
from gateway.demo.model import BuiltinModel
from tests.demo.rawhttp import ANTHROPIC, OPENAI, asking, exchange, post, request_bytes, split, unchunked

BOTH = pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: zlib.decompress(data, zlib.MAX_WBITS | 16),
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@BOTH
@pytest.mark.parametrize("stream", [False, True])
async def test_same_request_gets_the_same_bytes_from_another_model(path: str, stream: bool) -> None:
    answers = []
    for _ in range(2):
        async with BuiltinModel() as model:
            answers.append(await post(model.url, path, asking("demo-tools+reasoning", stream=stream)))
    assert answers[0] == answers[1]


async def test_another_request_gets_other_ids(model: BuiltinModel) -> None:
    first, second = [split(await post(model.url, OPENAI, asking("demo", user=user)))[1] for user in "ab"]
    assert first[:60] != second[:60]


@BOTH
async def test_each_event_is_a_chunk_of_its_own(model: BuiltinModel, path: str) -> None:
    _, body = split(await post(model.url, path, asking("demo", stream=True)))
    chunks, ended = unchunked(body)
    assert ended
    assert all(chunk.endswith(b"\n\n") and chunk.count(b"\n\n") == 1 for chunk in chunks)


@BOTH
@pytest.mark.parametrize("coding", DECODERS)
@pytest.mark.parametrize("stream", [False, True])
async def test_encoded_answer_decodes_to_a_plain_one(model: BuiltinModel, path: str, coding: str, stream: bool) -> None:
    body = asking(f"demo-{coding}", stream=stream)
    head, encoded = split(await post(model.url, path, body, f"accept-encoding: {coding}"))
    _, plain = split(await post(model.url, path, body, "accept-encoding: identity"))
    assert f"content-encoding: {coding}" in head
    if stream:
        encoded, plain = b"".join(unchunked(encoded)[0]), b"".join(unchunked(plain)[0])
    assert DECODERS[coding](encoded) == plain


@pytest.mark.parametrize("coding", ENCODERS)
async def test_a_compressed_request_is_read(model: BuiltinModel, coding: str) -> None:
    body = asking("demo-error-429")
    headers = ("content-type: application/json", f"content-encoding: {coding}")
    assert (await post(model.url, OPENAI, ENCODERS[coding](body), *headers)).startswith(b"HTTP/1.1 429")
    assert (await post(model.url, OPENAI, body, *headers)).startswith(b"HTTP/1.1 400")


async def test_body_cut_midway_is_shorter_than_its_content_length(model: BuiltinModel) -> None:
    head, body = split(await post(model.url, OPENAI, asking("demo-cut-mid-body")))
    promised = next(int(line.split(": ")[1]) for line in head if line.startswith("content-length"))
    assert 0 < len(body) < promised


async def test_stream_cut_midway_has_three_events_and_no_end(model: BuiltinModel) -> None:
    _, body = split(await post(model.url, OPENAI, asking("demo-cut-mid-stream", stream=True)))
    chunks, ended = unchunked(body)
    assert len(chunks) == 3
    assert not ended


async def test_reset_midway_is_a_reset(model: BuiltinModel) -> None:
    with pytest.raises(ConnectionResetError):
        await post(model.url, OPENAI, asking("demo-reset-mid-stream", stream=True))


async def test_garbage_is_not_http(model: BuiltinModel) -> None:
    answer = await post(model.url, OPENAI, asking("demo-garbage"))
    assert answer
    assert not answer.startswith(b"HTTP/")


async def test_garbage_midway_breaks_the_chunks(model: BuiltinModel) -> None:
    _, body = split(await post(model.url, OPENAI, asking("demo-garbage-mid-stream", stream=True)))
    with pytest.raises(ValueError, match="zz"):
        unchunked(body)


async def test_early_close_sends_nothing(model: BuiltinModel) -> None:
    assert await post(model.url, OPENAI, asking("demo-early-close")) == b""


@pytest.mark.parametrize("stream", [False, True])
async def test_http10_answer_ends_with_the_connection(model: BuiltinModel, stream: bool) -> None:
    sent = request_bytes(OPENAI, asking("demo-http10", stream=stream))
    head, body = split(await exchange(model.url, sent))
    assert head[0] == "HTTP/1.0 200 OK"
    assert not any(line.startswith(("content-length", "transfer-encoding")) for line in head)
    assert body.endswith(b"data: [DONE]\n\n" if stream else b"}")


@pytest.mark.parametrize("stream", [False, True])
async def test_hang_midway_is_silent_until_the_client_goes(model: BuiltinModel, stream: bool) -> None:
    host, port = model.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_bytes(OPENAI, asking("demo-hang-mid-stream", stream=stream)))
    await reader.readuntil(b'"model":"demo-hang-mid-stream"')
    writer.close()
    request = await model.received(1)
    await request.gone()
    assert request.aborted


async def test_repeated_and_odd_response_headers_are_sent_as_written(model: BuiltinModel) -> None:
    head, _ = split(await post(model.url, OPENAI, asking("demo-headers")))
    assert [line for line in head if line.lower().startswith("set-cookie")] == [
        "Set-Cookie: a=1; Path=/",
        "set-cookie: b=2; Path=/",
    ]
    assert "x-latin: caf\xe9" in head
    assert "x-empty: " in head


async def test_body_over_the_limit_is_answered_before_it_is_there() -> None:
    async with BuiltinModel(body_max=1000) as model:
        sent = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + b"x" * 2000
        assert (await exchange(model.url, sent)).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request_bytes("/v1/nothing", b"{}", ("connection: close",)), b"404"),
        (request_bytes(OPENAI, b"{}", ("connection: close",), method="PUT"), b"405"),
        (request_bytes(OPENAI, b"{", ("connection: close",)), b"400"),
        (request_bytes(ANTHROPIC, b'{"model": "demo"}', ("connection: close",)), b"400"),
        (b"not http at all\r\n\r\n", b"400"),
        (request_bytes("/", b"", ("connection: close",), method="HEAD"), b"200"),
    ],
)
async def test_what_is_no_question_gets_its_status(model: BuiltinModel, sent: bytes, status: bytes) -> None:
    assert (await exchange(model.url, sent)).split(b" ")[1] == status


async def test_pipelined_requests_are_answered_in_order(model: BuiltinModel) -> None:
    first = request_bytes(OPENAI, asking("demo"))
    last = request_bytes(ANTHROPIC, asking("demo"), ("connection: close",))
    answers = await exchange(model.url, first + last)
    assert 0 < answers.index(b"chatcmpl-") < answers.index(b"msg_")


async def test_answer_repeats_no_long_number(model: BuiltinModel) -> None:
    said = [{"role": "user", "content": "What about 4111111111111111 and 4111 1111 1111 1111?"}]
    answer = await post(model.url, OPENAI, asking("demo-reasoning", messages=said))
    assert b"1111" not in split(answer)[1]


def test_names_combine() -> None:
    behaviour = behaviour_of("demo-tools+slow-20ms+gzip")
    assert (behaviour.tools, behaviour.delay_s, behaviour.coding) == (True, 0.02, "gzip")


def test_every_name_is_documented() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "builtin-model.md").read_text()
    missing = [word for word in WORDS if f"`demo-{word}`" not in documented]
    assert missing == []
    assert all(str(status) in documented for status in ERRORS)
