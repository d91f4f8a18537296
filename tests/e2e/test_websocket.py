"""OpenAI's two WebSocket APIs through the real gateway, with the official SDK; what happened is read back."""

import openai
import pytest

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_responses_over_a_websocket_are_traces_of_their_session(
    gateway: Gateway, model: BuiltinModel, codeword: str
) -> None:
    headers = {"session-id": "socket-1"}
    async with (
        openai.AsyncOpenAI(base_url=gateway.openai_url, api_key="sk-test") as client,
        client.responses.connect(extra_headers=headers) as talk,
    ):
        await talk.response.create(model="demo", input="What is a span?")
        async for event in talk:
            if event.type == "response.completed":
                break
        await talk.response.create(model="demo", input=f"And {codeword}?")
        async for event in talk:
            assert event.type == "error"
            assert event.error.code == "blocked_by_policy"
            break
    traces = await gateway.traces("socket-1", count=3)
    assert sorted({trace["outcome"] for trace in traces}) == ["allowed", "blocked"]
    assert all(trace["model"] == "demo" for trace in traces)


async def test_realtime_is_traces_of_the_session_that_the_upstream_named(gateway: Gateway, model: BuiltinModel) -> None:
    async with (
        openai.AsyncOpenAI(base_url=gateway.openai_url, api_key="sk-test") as client,
        client.realtime.connect(model="demo") as talk,
    ):
        created = await talk.recv()
        assert created.type == "session.created"
        session = created.session.to_dict()["id"]
        await talk.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is a span?"}]}
        )
        await talk.response.create()
        async for event in talk:
            if event.type == "response.done":
                break
    traces = await gateway.traces(str(session), count=2)
    assert {trace["direction"] for trace in traces} == {"inlet", "response"}
