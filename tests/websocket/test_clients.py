"""Client libraries with every kind of permessage-deflate: the same messages as directly, and all of them understood."""

import json
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from gateway.demo.model import BuiltinModel
from tests.websocket.conftest import MakeGateway
from tests.websocket.test_responses import ASK

DEFLATES = {
    "plain": ClientPerMessageDeflateFactory(),
    "server forgets": ClientPerMessageDeflateFactory(server_no_context_takeover=True),
    "client forgets": ClientPerMessageDeflateFactory(client_no_context_takeover=True),
    "small windows": ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9),
}


@pytest.mark.parametrize("name", DEFLATES)
async def test_websockets_with_each_form_of_deflate(model: BuiltinModel, make_gateway: MakeGateway, name: str) -> None:
    gateway = await make_gateway(model.url)
    heard: list[list[str | bytes]] = []
    for url in (f"{model.url.replace('http', 'ws')}/v1", gateway.ws):
        async with connect(f"{url}/responses", extensions=[DEFLATES[name]], compression=None) as client:
            assert client.response is not None
            assert "permessage-deflate" in client.response.headers["sec-websocket-extensions"]
            said: list[str | bytes] = []
            for question in ("What is a span?", "And a trace? " * 2000, "What is a span?"):
                await client.send(json.dumps(ASK | {"input": question}))
                while not said or b"response.completed" not in said[-1].encode()[:100]:  # type: ignore[union-attr]
                    said.append(await client.recv())
                said.append("next")
            heard.append(said)
    assert heard[0] == heard[1]
    ended = [await gateway.ended() for _ in range(3)]
    assert [each.attributes["spangate.capture"] for each in ended] == ["full"] * 3
    assert ended[1].asked == ["And a trace? " * 2000]
    assert not gateway.pipeline.counters["websocket_copies_lost"]


@pytest.mark.parametrize("compress", [0, 15])
async def test_aiohttp(model: BuiltinModel, make_gateway: MakeGateway, compress: int) -> None:
    gateway = await make_gateway(model.url)
    heard: list[list[Any]] = []
    async with aiohttp.ClientSession() as session:
        for url in (f"{model.url}/v1", gateway.http):
            async with session.ws_connect(f"{url}/responses", compress=compress) as client:
                await client.send_json(ASK)
                said: list[Any] = []
                while not said or said[-1]["type"] != "response.completed":
                    said.append(await client.receive_json())
                heard.append(said)
    assert heard[0] == heard[1]
    assert (await gateway.ended()).attributes["spangate.end"] == "finished"


async def test_a_server_that_pings_and_fragments(make_gateway: MakeGateway) -> None:
    """Another library's server, with deflated fragments: what wsproto alone would lose."""

    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            event = json.loads(message)
            assert event["type"] == "response.create"
            text = json.dumps(
                {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}}
            )

            async def fragments(text: str = text) -> Any:
                for start in range(0, len(text), 10):
                    await connection.ping()
                    yield text[start : start + 10]

            await connection.send(fragments())

    async with serve(answer, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        gateway = await make_gateway(f"http://127.0.0.1:{port}")
        async with connect(f"{gateway.ws}/responses") as client:
            await client.send(json.dumps(ASK))
            assert json.loads(await client.recv())["type"] == "response.completed"
        ended = await gateway.ended()
    assert ended.attributes["gen_ai.response.id"] == "resp_1"
    assert ended.attributes["spangate.capture"] == "full"


async def test_an_api_that_is_not_understood_is_one_exchange(make_gateway: MakeGateway) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        gateway = await make_gateway(f"http://127.0.0.1:{port}")
        async with connect(f"{gateway.ws}/live/anything") as client:
            await client.send(b"\x00\x01")
            assert await client.recv() == b"\x00\x01"
        ended = await gateway.ended()
        assert ended.attributes["spangate.end"] == "finished"
        assert ended.attributes["url.path"] == "/v1/live/anything"
        assert ended.attributes["session.id"]
        guarded = await make_gateway(f"http://127.0.0.1:{port}", enforcing=True)
        with pytest.raises(Exception, match="HTTP 426"):
            async with connect(f"{guarded.ws}/live/anything"):
                pass
        refused = await guarded.ended()
        assert refused.attributes["error.type"] == "upgrade_unavailable"
