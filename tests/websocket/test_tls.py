"""WebSockets through TLS on both sides: the transports are another kind, and what is said is the same."""

import json
import ssl
from pathlib import Path

from websockets.asyncio.client import connect

from gateway.demo.model import BuiltinModel
from tests.certificates import self_signed
from tests.websocket.conftest import MakeGateway
from tests.websocket.test_responses import ASK, ask


async def test_a_long_talk_through_tls_on_both_sides(make_gateway: MakeGateway, tmp_path: Path) -> None:
    pem = self_signed(tmp_path / "tls.pem", "localhost")
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    listening.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=str(pem))
    async with BuiltinModel(tls=listening) as model:
        upstream = model.url.replace("127.0.0.1", "localhost")
        gateway = await make_gateway(upstream, written={"ca_file": str(pem)}, tls=listening)
        url = f"wss://localhost:{gateway.port}/openai/v1/responses"
        async with connect(url, ssl=trusting) as client:
            for question in ("What is a span?", "And a trace? " * 50_000):
                events = await ask(client, ASK | {"model": "demo-long", "input": question})
                assert events[-1]["type"] == "response.completed"
            await client.send(json.dumps(ASK | {"model": "demo-hang-mid-stream"}))
            await client.recv()
            client.transport.abort()
        ended = [await gateway.ended() for _ in range(3)]
        assert [each.attributes["spangate.end"] for each in ended] == ["finished", "finished", "client_gone"]
        await gateway.settled()
