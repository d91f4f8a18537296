"""Responses over a WebSocket, spoken by real clients with the built-in model."""

import json
from typing import Any

import openai
import pytest
from websockets.asyncio.client import ClientConnection, connect

from gateway.demo.model import BuiltinModel
from tests.websocket.conftest import MakeGateway

ASK = {"type": "response.create", "model": "demo", "input": "What is a span?", "instructions": "Be brief."}


async def ask(client: ClientConnection, event: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one response."""
    await client.send(json.dumps(event))
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] not in ("response.completed", "error"):
        events.append(json.loads(await client.recv()))
    return events


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_each_response_is_a_span_and_all_are_one_session(
    model: BuiltinModel, make_gateway: MakeGateway, compression: str | None
) -> None:
    gateway = await make_gateway(model.url)
    headers = {"session-id": "thread-7", "authorization": "Bearer k"}
    async with connect(f"{gateway.ws}/responses", additional_headers=headers, compression=compression) as client:
        assert client.response is not None
        first = await ask(client, ASK)
        await ask(client, ASK | {"input": "And a trace?"})
        named = client.response.headers
    one, two = await gateway.ended(), await gateway.ended()
    assert one.attributes["gen_ai.request.model"] == "demo"
    assert one.attributes["gen_ai.provider.name"] == "openai"
    assert one.attributes["gen_ai.response.id"] == first[-1]["response"]["id"]
    assert one.attributes["spangate.end"] == "finished"
    assert one.attributes["spangate.usage.state"] == "reported"
    assert one.attributes["spangate.capture"] == "full"
    assert one.attributes["gen_ai.request.stream"] is True
    assert (one.asked, two.asked) == (["What is a span?"], ["And a trace?"])
    assert one.said == [first[-1]["response"]["output"][0]["content"][0]["text"]]
    assert [each.attributes["session.id"] for each in (one, two)] == ["thread-7", "thread-7"]
    assert [each.attributes["spangate.session.sequence"] for each in (one, two)] == [1, 2]
    assert named["x-spangate-session"] == "thread-7"
    assert named["x-spangate-exchange"] == one.attributes["spangate.exchange.id"]
    assert named["x-spangate-trace-id"] == one.span.trace_id.hex() == two.span.trace_id.hex()


async def test_the_sdk_speaks_it_through_the_gateway_as_directly(
    model: BuiltinModel, make_gateway: MakeGateway
) -> None:
    gateway = await make_gateway(model.url)
    heard = []
    for base_url in (f"{model.url}/v1", gateway.http):
        async with openai.AsyncOpenAI(base_url=base_url, api_key="k") as client, client.responses.connect() as talk:
            await talk.response.create(model="demo", input="What is a span?")
            events = []
            async for event in talk:
                events.append(event.to_dict())
                if event.type == "response.completed":
                    break
            heard.append(events)
    assert heard[0] == heard[1]
    ended = await gateway.ended()
    assert ended.attributes["spangate.end"] == "finished"


async def test_getting_ready_is_an_exchange_that_says_so_and_has_no_answer(
    model: BuiltinModel, make_gateway: MakeGateway
) -> None:
    gateway = await make_gateway(model.url)
    async with connect(f"{gateway.ws}/responses") as client:
        events = await ask(client, ASK | {"generate": False})
        ready = events[-1]["response"]
        assert [event["type"] for event in events] == ["response.created", "response.in_progress", "response.completed"]
        assert ready["output"] == []
        await ask(
            client, {"type": "response.create", "model": "demo", "previous_response_id": ready["id"], "input": "Hi"}
        )
    first, second = [(await gateway.ended()) for _ in range(2)]
    assert first.attributes["spangate.request.generate"] is False
    assert first.attributes["gen_ai.usage.input_tokens"] == ready["usage"]["input_tokens"] > 0
    assert first.attributes["gen_ai.usage.output_tokens"] == 0
    assert (first.asked, first.said) == (["What is a span?"], [])
    assert "spangate.request.generate" not in second.attributes
    assert second.attributes["gen_ai.request.previous_response.id"] == ready["id"]
    assert second.said


async def test_a_session_named_in_the_first_body_is_kept(model: BuiltinModel, make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(model.url)
    async with connect(f"{gateway.ws}/responses") as client:
        await ask(client, ASK | {"client_metadata": {"session_id": "codex-1"}})
        await ask(client, ASK)
        await ask(client, ASK | {"client_metadata": {"session_id": "codex-2"}})
    ended = [await gateway.ended() for _ in range(3)]
    assert {each.attributes["session.id"] for each in ended} == {"codex-1"}
    assert [each.attributes["spangate.session.sequence"] for each in ended] == [1, 2, 3]
    assert {each.attributes["spangate.session.source"] for each in ended} == {"body"}


async def test_a_session_nobody_named_is_one_all_the_same(model: BuiltinModel, make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(model.url)
    async with connect(f"{gateway.ws}/responses") as client:
        for _ in range(3):
            await ask(client, ASK)
    ended = [await gateway.ended() for _ in range(3)]
    assert len({each.attributes["session.id"] for each in ended}) == 1
    assert [each.attributes["spangate.session.sequence"] for each in ended] == [1, 2, 3]
    assert not any("gen_ai.conversation.id" in each.attributes for each in ended)


async def test_an_error_event_ends_the_exchange(model: BuiltinModel, make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(model.url)
    async with connect(f"{gateway.ws}/responses") as client:
        assert (await ask(client, ASK | {"model": "demo-error-429"}))[-1]["type"] == "error"
        await ask(client, ASK)
    failed, answered = await gateway.ended(), await gateway.ended()
    assert failed.attributes["spangate.end"] == "upstream_error"
    assert failed.attributes["error.type"] == "requests"
    assert answered.attributes["spangate.end"] == "finished"


async def test_a_refused_handshake_is_an_http_exchange(make_gateway: MakeGateway) -> None:
    async with BuiltinModel(websockets=False) as model:
        gateway = await make_gateway(model.url)
        with pytest.raises(Exception, match="HTTP 426") as raised:
            async with connect(f"{gateway.ws}/responses"):
                pass
        ended = await gateway.ended()
    answer = raised.value.response  # type: ignore[attr-defined]
    assert json.loads(answer.body)["error"]["message"] == "This model speaks HTTP only."
    assert answer.headers["x-spangate-exchange"] == ended.attributes["spangate.exchange.id"]
    assert ended.attributes["http.response.status_code"] == 426
    assert ended.attributes["spangate.end"] == "upstream_error"
    assert ended.attributes["session.id"]


async def test_an_enforcer_sees_a_request_before_it_leaves(model: BuiltinModel, make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(model.url, enforcing=True)
    async with connect(f"{gateway.ws}/responses") as client:
        assert client.response is not None
        assert "sec-websocket-extensions" not in client.response.headers
        refused = await ask(client, ASK | {"input": "Tell me about nightjar."})
        answered = await ask(client, ASK)
    assert len(refused) == 1
    assert refused[0]["error"]["code"] == "blocked_by_policy"
    assert "nightjar" not in json.dumps(refused)
    assert answered[-1]["type"] == "response.completed"
    blocked, passed = await gateway.ended(), await gateway.ended()
    assert blocked.attributes["spangate.end"] == "blocked"
    assert blocked.attributes["spangate.outcome"] == "blocked"
    assert (passed.attributes["spangate.end"], passed.attributes["spangate.outcome"]) == ("finished", "allowed")
    assert [each.attributes["spangate.session.sequence"] for each in (blocked, passed)] == [1, 2]


@pytest.mark.parametrize("said", [{"input": "What is a span?"}, {"generate": False}])
async def test_under_an_enforcer_an_event_that_asks_for_nothing_is_a_span_that_says_so(
    model: BuiltinModel, make_gateway: MakeGateway, said: dict[str, Any]
) -> None:
    gateway = await make_gateway(model.url, enforcing=True)
    async with connect(f"{gateway.ws}/responses") as client:
        await client.send(json.dumps({"type": "response.unheard_of", **said}))
        passed = await gateway.ended()
        await ask(client, ASK)
    answered = await gateway.ended()
    keys = [each[0] for part in passed.span.parts for each in (getattr(part, "attributes", [part]))]
    assert passed.attributes["spangate.request.generate"] is False
    assert len(keys) == len(set(keys))
    assert "spangate.request.generate" not in answered.attributes


async def test_a_client_that_leaves_in_the_middle(model: BuiltinModel, make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(model.url)
    async with connect(f"{gateway.ws}/responses") as client:
        await client.send(json.dumps(ASK | {"model": "demo-hang-mid-stream"}))
        for _ in range(3):
            await client.recv()
        client.transport.abort()
    ended = await gateway.ended()
    assert ended.attributes["spangate.end"] == "client_gone"
    assert ended.attributes["spangate.capture"] == "truncated"
    await gateway.settled()


@pytest.mark.parametrize("how", ["cut", "reset"])
async def test_an_upstream_that_breaks_off(model: BuiltinModel, make_gateway: MakeGateway, how: str) -> None:
    gateway = await make_gateway(model.url)
    async with connect(f"{gateway.ws}/responses") as client:
        with pytest.raises(Exception, match="no close frame"):
            await ask(client, ASK | {"model": f"demo-{how}-mid-stream"})
    ended = await gateway.ended()
    assert ended.attributes["spangate.end"] == "upstream_gone"
    assert ended.attributes["gen_ai.request.model"] == f"demo-{how}-mid-stream"
    await gateway.settled()
