"""A request that has to be signed waits for its signature, and leaves with it or not at all."""

import asyncio

from gateway.model.exchange import Headers, Refusal
from tests.proxy.conftest import Bench, MakeBench, read_request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def post(body: bytes) -> bytes:
    return b"POST /v1/x?y=1 HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\nX-Old: 1\r\n\r\n%b" % (len(body), body)


class Signer:
    """Signs when it is let to, and remembers over what."""

    def __init__(self, answer: Refusal | None = None) -> None:
        self.signed: list[tuple[str, bytes, Headers, bytes]] = []
        self.answer = answer
        self.asked = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, method: str, target: bytes, headers: Headers, body: bytes) -> Headers | Refusal:
        self.signed.append((method, target, list(headers), body))
        self.asked.set()
        await self.free.wait()
        return self.answer or [header for header in headers if header[0] != b"X-Old"] + [(b"X-Signature", b"s")]


async def test_the_signature_covers_head_and_body_and_goes_with_them(bench: Bench) -> None:
    bench.handler.sign = signer = Signer()
    wire = await bench.connect()
    for _ in range(2):
        await wire.send(post(b"body"))
        assert (await wire.answer())[1] == b"ok"
    host = b"127.0.0.1:%d" % bench.upstream.port
    headers = [(b"Host", host), (b"Content-Length", b"4"), (b"X-Old", b"1")]
    assert signer.signed == [("POST", b"/v1/x?y=1", headers, b"body")] * 2
    sent = b"POST /v1/x?y=1 HTTP/1.1\r\nHost: %b\r\nContent-Length: 4\r\nX-Signature: s\r\n\r\nbody" % host
    assert bench.upstream.requests == [sent, sent]
    assert bench.upstream.connections == 1


async def test_a_chunked_body_is_signed_whole(bench: Bench) -> None:
    bench.handler.sign = signer = Signer()
    wire = await bench.connect()
    await wire.send(b"POST / HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n".replace(b" / ", b" /v1/x "))
    await wire.send(b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n")
    assert (await wire.answer())[1] == b"ok"
    assert signer.signed[0][3] == b"body"
    assert b"Content-Length: 4\r\n" in bench.upstream.requests[0]


async def test_what_cannot_be_signed_is_refused_and_stays_here(bench: Bench) -> None:
    bench.handler.sign = Signer(Refusal(401, "unauthorized", "no key"))
    wire = await bench.connect()
    await wire.send(post(b"body"))
    head, answer = await wire.answer()
    assert head.startswith(b"HTTP/1.1 401 ")
    assert answer == b'{"error":"unauthorized"}'
    assert (await bench.ended()).end == "refused"
    assert bench.upstream.requests == []
    bench.handler.sign = None
    await wire.send(post(b"body"))
    assert (await wire.answer())[1] == b"ok"


async def test_a_body_that_is_not_kept_whole_is_refused(make_bench: MakeBench) -> None:
    bench = await make_bench(capture=100)
    bench.handler.sign = signer = Signer()
    for pieces in ([b"x" * 101], [b"x" * 60, b"x" * 41], [b"x" * 101, b"x" * 1000]):
        wire = await bench.connect()
        body = b"".join(pieces)
        await wire.send(post(body)[: -len(body)])
        for piece in pieces:
            await wire.send(piece)
        head, _ = await wire.answer()
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"x-spangate-code: body_too_large\r\n" in head
        assert (await bench.ended()).end == "refused"
    assert (signer.signed, bench.upstream.requests) == ([], [])


async def test_a_client_that_goes_while_it_is_signed_ends_the_exchange(bench: Bench) -> None:
    bench.handler.sign = signer = Signer()
    signer.free.clear()
    wire = await bench.connect()
    await wire.send(post(b"body"))
    await signer.asked.wait()
    wire.abort()
    assert (await bench.ended()).end == "client_gone"
    signer.free.set()
    assert bench.upstream.requests == []


async def test_a_signer_that_breaks_is_an_error_of_ours(bench: Bench) -> None:
    async def broken(method: str, target: bytes, headers: Headers, body: bytes) -> Headers | Refusal:
        raise OSError("the key file went away")

    bench.handler.sign = broken
    wire = await bench.connect()
    await wire.send(post(b"body"))
    head, _ = await wire.answer()
    assert head.startswith(b"HTTP/1.1 500 ")
    assert (await bench.ended()).end == "refused"


async def test_on_a_connection_of_its_own_the_same_signature_goes_again(bench: Bench) -> None:
    requests: list[bytes] = []

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))
        writer.write(OK)
        requests.append(await read_request(reader))  # and closes

    bench.upstream.serve = answers_once
    bench.handler.sign = signer = Signer()
    wire = await bench.connect()
    await wire.send(post(b"one"))
    await wire.answer()
    await wire.send(post(b"two"))
    assert (await wire.answer())[1] == b"ok"
    assert requests[1] == requests[2]
    assert b"X-Signature: s\r\n" in requests[2]
    assert len(signer.signed) == 2
