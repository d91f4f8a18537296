"""Realtime, spoken by OpenAI's SDK with the built-in model, through the gateway."""

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import openai
import pytest
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import connect

from gateway.demo.model import BuiltinModel
from tests.websocket.conftest import MakeGateway

TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def message(text: str) -> Any:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


async def until(talk: AsyncRealtimeConnection, *kinds: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] not in kinds:
        events.append((await talk.recv()).to_dict())
    return events


def sdk(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key="k")


async def test_each_response_is_a_span_of_the_connections_session(
    model: BuiltinModel, make_gateway: MakeGateway
) -> None:
    gateway = await make_gateway(model.url)
    async with sdk(gateway.http) as client, client.realtime.connect(model="demo") as talk:
        (created,) = await until(talk, "session.created")
        await talk.session.update(session={"type": "realtime", "instructions": "Be brief.", "max_output_tokens": 50})
        await talk.conversation.item.create(item=message("What is a span?"))
        await talk.response.create()
        done = (await until(talk, "response.done"))[-1]["response"]
        await talk.conversation.item.create(item=message("And a trace?"))
        await talk.response.create()
        await until(talk, "response.done")
    one, two = await gateway.ended(), await gateway.ended()
    said = one.attributes
    assert (said["gen_ai.operation.name"], said["gen_ai.request.model"]) == ("chat", "demo")
    assert said["gen_ai.response.id"] == done["id"]
    assert said["session.id"] == created["session"]["id"] == two.attributes["session.id"]
    assert said["spangate.session.source"] == "response_chain"
    assert "gen_ai.conversation.id" not in said
    assert [each.attributes["spangate.session.sequence"] for each in (one, two)] == [1, 2]
    assert said["gen_ai.request.max_tokens"] == 50
    assert said["gen_ai.usage.input_tokens"] == done["usage"]["input_tokens"]
    assert said["gen_ai.usage.output_tokens"] == done["usage"]["output_tokens"]
    assert said["gen_ai.usage.text.output_tokens"] == done["usage"]["output_tokens"]
    assert two.attributes["gen_ai.usage.cache_read.input_tokens"] > 0
    assert two.attributes["gen_ai.usage.text.cache_read.input_tokens"] > 0
    assert said["gen_ai.response.finish_reasons"] == ("stop",)
    assert one.said == [done["output"][0]["content"][0]["text"]]
    assert one.asked == ["What is a span?"]
    assert two.asked == ["What is a span?", *one.said, "And a trace?"]
    assert one.contents["gen_ai.system_instructions"] == [{"type": "text", "content": "Be brief."}]


async def test_sound_is_hashed_both_ways_and_what_was_said_is_kept(
    model: BuiltinModel, make_gateway: MakeGateway
) -> None:
    gateway = await make_gateway(model.url)
    sound = bytes(range(256)) * 40
    async with sdk(gateway.http) as client, client.realtime.connect(model="demo") as talk:
        await talk.session.update(session={"type": "realtime", "output_modalities": ["audio"]})
        for start in range(0, len(sound), 1000):
            await talk.input_audio_buffer.append(audio=b64encode(sound[start : start + 1000]).decode())
        await talk.input_audio_buffer.commit()
        await until(talk, "conversation.item.input_audio_transcription.completed")
        await talk.response.create()
        done = (await until(talk, "response.done"))[-1]["response"]
    ended = await gateway.ended()
    assert ended.asked == [f"These were {len(sound)} bytes of sound."]
    (blob,) = [part for part in ended.contents["gen_ai.input.messages"][0]["parts"] if part["type"] == "blob"]
    assert blob == {"type": "blob", "modality": "audio", "sha256": sha256(sound).hexdigest(), "size": len(sound)}
    assert ended.said == [done["output"][0]["content"][0]["transcript"]]
    (heard,) = [part for part in ended.contents["gen_ai.output.messages"][0]["parts"] if part["type"] == "blob"]
    assert heard["size"] > 1000
    assert ended.attributes["gen_ai.output.type"] == "speech"
    assert ended.attributes["gen_ai.usage.audio.output_tokens"] > 0
    assert ended.exchange.response_body is not None
    assert b'.audio.delta"' not in ended.exchange.response_body.joined().replace(b"output_audio", b".audio")


async def test_a_function_is_called_and_its_result_is_in_the_next_request(
    model: BuiltinModel, make_gateway: MakeGateway
) -> None:
    gateway = await make_gateway(model.url)
    async with sdk(gateway.http) as client, client.realtime.connect(model="demo-tools") as talk:
        await talk.session.update(session={"type": "realtime", "tools": [TOOL]})  # type: ignore[list-item]
        await talk.conversation.item.create(item=message("Weather in Porto?"))
        await talk.response.create()
        call = (await until(talk, "response.done"))[-1]["response"]["output"][0]
        await talk.conversation.item.create(
            item={"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
        )
        await talk.response.create()
        await until(talk, "response.done")
    called, answered = await gateway.ended(), await gateway.ended()
    assert called.attributes["gen_ai.response.finish_reasons"] == ("tool_call",)
    (part,) = called.contents["gen_ai.output.messages"][0]["parts"]
    assert part == {"type": "tool_call", "name": "weather", "id": call["call_id"], "arguments": {"city": "Porto"}}
    assert called.contents["gen_ai.tool.definitions"][0]["name"] == "weather"
    result = answered.contents["gen_ai.input.messages"][-1]
    assert result["parts"] == [{"type": "tool_call_response", "response": "sunny", "id": call["call_id"]}]
    assert answered.attributes["gen_ai.response.finish_reasons"] == ("stop",)


async def test_an_enforcer_reads_each_text_before_the_upstream_does(
    model: BuiltinModel, make_gateway: MakeGateway
) -> None:
    gateway = await make_gateway(model.url, enforcing=True)
    async with sdk(gateway.http) as client, client.realtime.connect(model="demo") as talk:
        await talk.conversation.item.create(item=message("Tell me about nightjar."), event_id="mine")
        refused = (await until(talk, "error"))[-1]
        assert refused["error"]["code"] == "blocked_by_policy"
        assert refused["error"]["event_id"] == "mine"
        await talk.conversation.item.create(item=message("What is a span?"))
        await talk.response.create()
        await until(talk, "response.done")
    blocked, passed, answered = await gateway.ended(), await gateway.ended(), await gateway.ended()
    assert [each.attributes["spangate.end"] for each in (blocked, passed, answered)] == ["blocked", *["finished"] * 2]
    assert (passed.asked, answered.asked) == (["What is a span?"], ["What is a span?"])
    asked = [each.attributes.get("spangate.request.generate") for each in (blocked, passed, answered)]
    assert asked == [False, False, None]


@pytest.mark.parametrize("binary", [False, True])
async def test_an_event_too_long_to_be_read_ends_with_itself(
    model: BuiltinModel, make_gateway: MakeGateway, binary: bool
) -> None:
    gateway = await make_gateway(model.url, enforcing=True, capture=4096)
    async with connect(f"{gateway.ws}/realtime?model=demo", additional_headers={"authorization": "Bearer k"}) as client:
        event = json.dumps({"type": "conversation.item.create", "item": message("a" * 20_000)})
        await client.send(event.encode() if binary else event)
        long = await gateway.ended()
        blocked = json.dumps({"type": "conversation.item.create", "item": message("nightjar " + "a" * 20_000)})
        await client.send(blocked.encode() if binary else blocked)
        refused = await gateway.ended()
        assert [tunnel.busy for tunnel in gateway.server.tunnels] == [False]
    assert (long.attributes["spangate.end"], long.attributes["spangate.capture"]) == ("finished", "truncated")
    assert long.attributes["spangate.outcome"] == "flagged"
    assert refused.attributes["spangate.end"] == "blocked"
    await gateway.settled()
    assert gateway.kept.queue.empty()


async def test_a_binary_frame_is_read_like_any_other(model: BuiltinModel, make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(model.url, enforcing=True)
    async with connect(f"{gateway.ws}/realtime?model=demo", additional_headers={"authorization": "Bearer k"}) as client:
        await client.send(json.dumps({"type": "conversation.item.create", "item": message("nightjar")}).encode())
        await client.send(json.dumps({"type": "response.create"}).encode())
        blocked = await gateway.ended()
    assert blocked.attributes["spangate.end"] == "blocked"


async def test_errors_end_only_what_they_are_about(model: BuiltinModel, make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(model.url)
    async with sdk(gateway.http) as client, client.realtime.connect(model="demo") as talk:
        await talk.input_audio_buffer.commit(event_id="nothing")
        await until(talk, "error")
        await talk.conversation.item.create(item=message("What is a span?"))
        await talk.response.create()
        await until(talk, "response.done")
    ended = await gateway.ended()
    assert ended.attributes["spangate.end"] == "finished"
    assert gateway.kept.queue.empty()


async def test_a_response_that_broke_off_keeps_what_came(model: BuiltinModel, make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(model.url)
    async with sdk(gateway.http) as client, client.realtime.connect(model="demo-cut-mid-stream") as talk:
        await talk.conversation.item.create(item=message("What is a span?"))
        await talk.response.create()
        with pytest.raises(Exception, match="no close frame"):
            await until(talk, "response.done")
    ended = await gateway.ended()
    assert ended.attributes["spangate.end"] == "upstream_gone"
    assert ended.attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert ended.attributes["spangate.usage.state"] == "missing"
    assert len(ended.said) == 1


async def test_a_refused_model_is_relayed_as_http(model: BuiltinModel, make_gateway: MakeGateway) -> None:
    gateway = await make_gateway(model.url)
    with pytest.raises(Exception, match="HTTP 401"):
        async with connect(f"{gateway.ws}/realtime?model=demo-error-401"):
            pass
    ended = await gateway.ended()
    assert ended.attributes["http.response.status_code"] == 401


async def test_a_key_in_the_subprotocol_does_not_leave_beside_the_gateways(
    model: BuiltinModel, make_gateway: MakeGateway
) -> None:
    gateway = await make_gateway(model.url, written={"api_key": "sk-the-gateways"})
    protocols = ["realtime", "openai-insecure-api-key.sk-the-clients", "x.bearer.sk-the-clients"]
    async with connect(f"{gateway.ws}/realtime?model=demo", subprotocols=protocols) as client:  # type: ignore[arg-type]
        assert client.subprotocol == "realtime"
        await client.recv()
    request = await model.received()
    assert request.header("sec-websocket-protocol") == "realtime"
    assert request.header("authorization") == "Bearer sk-the-gateways"
    assert "sk-the-clients" not in json.dumps([value.decode("latin-1") for _, value in request.headers])
