"""The sample conversations, against a model that stands where the gateway would."""

import asyncio
import io
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from gateway.demo.model import BuiltinModel
from gateway.demo.traffic import CONVERSATIONS, hold_conversations, run_traffic


@pytest.fixture
async def front(model: BuiltinModel) -> AsyncIterator[TestServer]:
    """Takes the routing prefix off, as the gateway does."""

    async def relay(request: web.Request) -> web.Response:
        path = request.path.partition("/v1/")[2]
        async with ClientSession(auto_decompress=False) as session:
            headers = {"content-type": "application/json"}
            answer = await session.post(f"{model.url}/v1/{path}", data=await request.read(), headers=headers)
            body = await answer.read()
            return web.Response(
                status=answer.status, body=body, headers={"content-type": answer.headers["content-type"]}
            )

    app = web.Application()
    app.router.add_route("*", "/{provider}/v1/{path:.*}", relay)
    server = TestServer(app)
    async with server:
        yield server


async def test_every_conversation_prints_one_line_with_its_end(front: TestServer) -> None:
    lines: list[str] = []
    await hold_conversations(str(front.make_url("")).rstrip("/"), lines.append)
    assert len(lines) == len(CONVERSATIONS)
    assert "3 turns" in lines[0]
    assert [line for line in lines if "429 RateLimitError" in line] == lines[-1:]


async def test_conversations_repeat_their_history_and_one_has_a_card_number(
    model: BuiltinModel, front: TestServer
) -> None:
    await hold_conversations(str(front.make_url("")).rstrip("/"), lambda line: None)
    bodies = [json.loads(request.body) for request in model.requests]
    assert [len(body["messages"]) for body in bodies[:3]] == [1, 3, 5]
    assert sum("4111 1111 1111 1111" in json.dumps(body) for body in bodies) == 2
    assert any(body.get("stream") for body in bodies)


async def test_gateway_that_is_not_there_ends_every_conversation(unused_tcp_port: int) -> None:
    lines: list[str] = []
    await hold_conversations(f"http://127.0.0.1:{unused_tcp_port}", lines.append)
    assert len(lines) == len(CONVERSATIONS)
    assert all("APIConnectionError" in line for line in lines)


async def test_lines_are_printed_as_they_come(front: TestServer) -> None:
    out = io.StringIO()
    await asyncio.to_thread(run_traffic, str(front.make_url("")).rstrip("/"), out)
    assert out.getvalue().count("\n") == len(CONVERSATIONS)
