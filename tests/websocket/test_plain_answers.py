"""Where somebody must read answers before the client does, servers that would compress them do not, nor does a WebSocket."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from gateway.contracts import Processor
from tests.websocket.conftest import Gateway, MakeGateway

UNARY = b'{"id":"c1","model":"m","choices":[]}' + b" " * 4096
EVENT = b'data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
STREAM = EVENT * 64 + b"data: [DONE]\n\n"


class ReadsAnswers(Processor):
    needs_reading = False
    needs_answer = True


async def _answer(request: web.Request) -> web.StreamResponse:
    """Compressed, if the request says that it may be."""
    if (await request.json()).get("stream"):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        response.enable_compression()
        await response.prepare(request)
        for at in range(0, len(STREAM), 100):
            await response.write(STREAM[at : at + 100])
        await response.write_eof()
        return response
    whole = web.Response(body=UNARY, content_type="application/json")
    whole.enable_compression()
    return whole


@pytest.fixture
async def server() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", _answer)
    async with TestServer(app) as running:
        yield str(running.make_url("")).rstrip("/")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reads", [True, False])
async def test_an_answer_comes_without_a_coding(
    server: str, make_gateway: MakeGateway, reads: bool, stream: bool
) -> None:
    gateway = await make_gateway(server, also=[ReadsAnswers()] if reads else [])
    async with (
        aiohttp.ClientSession(auto_decompress=False, headers={"accept-encoding": "gzip, deflate"}) as client,
        client.post(f"{gateway.http}/chat/completions", json={"model": "m", "messages": [], "stream": stream}) as said,
    ):
        body = await said.read()
    assert ("content-encoding" in said.headers) == (not reads)
    assert (body == (STREAM if stream else UNARY)) == reads
    assert (await gateway.ended()).attributes["spangate.capture"] == "full"


@pytest.mark.parametrize("reads", [True, False])
async def test_a_websocket_has_no_extensions(make_gateway: MakeGateway, reads: bool) -> None:
    async def echo(talk: ServerConnection) -> None:
        async for message in talk:
            await talk.send(message)

    async with serve(echo, "127.0.0.1", 0, compression="deflate") as upstream:
        port = next(iter(upstream.sockets)).getsockname()[1]
        gateway: Gateway = await make_gateway(f"http://127.0.0.1:{port}", also=[ReadsAnswers()] if reads else [])
        async with connect(f"{gateway.ws}/responses", compression="deflate") as client:
            assert client.response is not None
            assert ("sec-websocket-extensions" in client.response.headers) == (not reads)
            (served,) = upstream.connections
            assert served.request is not None
            assert ("sec-websocket-extensions" in served.request.headers) == (not reads)
            await client.send("hello " * 100)
            assert await client.recv() == "hello " * 100
