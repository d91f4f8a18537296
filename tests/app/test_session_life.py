"""A session's life, told by clients of the real gateway: how it begins, what it comes to, how it ends, what follows."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import APIStatusError, AsyncOpenAI

from gateway.demo.model import BuiltinModel
from tests.app.conftest import DEADLINE_S, WatchedGateway
from tests.e2e.gateway_process import TOKEN

ENDS = {"x-session-end": "true"}
PRICES = {"demo*": {"input": 2.0, "output": 10.0}}
HELLO: Any = [{"role": "user", "content": "Hello"}]
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def config(folder: Path, session: dict[str, Any] | None = None) -> dict[str, Any]:
    """State that outlives the process, prices, and whatever the session processor is told."""
    return {
        "extensions": {"session_state": {"url": f"lmdb:{folder / 'state'}"}},
        "processors": {"session": session or {}, "cost": {"prices": PRICES}},
        "service": {
            "extensions": ["health_check", "console", "storage", "session_state"],
            "pipelines": {"traces": {"processors": ["session", "cost"]}},
        },
    }


@pytest.fixture
async def gateway(model: BuiltinModel, tmp_path: Path) -> AsyncIterator[WatchedGateway]:
    async with WatchedGateway(tmp_path, model.url, config(tmp_path)) as gateway:
        yield gateway


async def call(gateway: WatchedGateway, model: str = "demo", tools: Any = (), **headers: str) -> str:
    """The answer's session. Raises the SDK's own error for a refusal."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    more: dict[str, Any] = {"tools": tools} if tools else {}
    async with AsyncOpenAI(base_url=gateway.openai_url, api_key="key", max_retries=0) as client:
        answer = await client.chat.completions.with_raw_response.create(
            model=model, messages=HELLO, extra_headers=sent, **more
        )
        return str(answer.headers["x-spangate-session"])


async def session_of(gateway: WatchedGateway, session_id: str, exchanges: int) -> dict[str, Any]:
    """What the API says of it, once so many of its exchanges are stored."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for session in (await gateway.api("sessions"))["items"]:
                if session["id"] == session_id and session["exchanges"] == exchanges:
                    return dict(session)
            await asyncio.sleep(0.02)


async def test_an_ended_session_is_closed_to_explicit_ids_and_stays_as_it_was(gateway: WatchedGateway) -> None:
    assert await call(gateway, x_session_id="talk") == "talk"
    assert (await session_of(gateway, "talk", 1))["lifecycle"] == "open"
    await call(gateway, x_session_id="talk", **ENDS)
    with pytest.raises(APIStatusError) as refused:
        await call(gateway, x_session_id="talk")
    assert (refused.value.status_code, refused.value.code) == (410, "session_closed")
    assert refused.value.response.headers["x-spangate-code"] == "session_closed"
    session = await session_of(gateway, "talk", 2)
    assert (session["lifecycle"], session["closed_by"], session["continued_by"]) == ("closed", "end", [])
    alone = await session_of(gateway, refused.value.response.headers["x-spangate-session"], 1)
    assert (alone["previous_id"], alone["input_tokens"]) == (None, 0), "nothing went upstream"


async def test_an_ended_session_is_continued_by_borrowed_ids_and_both_show_it(gateway: WatchedGateway) -> None:
    borrowed = {"x_claude_code_session_id": "cc"}
    await call(gateway, **borrowed, **ENDS)
    assert await call(gateway, **borrowed) == "cc~2"
    assert (await session_of(gateway, "cc~2", 1))["previous_id"] == "cc"
    assert (await session_of(gateway, "cc", 1))["continued_by"] == ["cc~2"]
    traces = await gateway.traces("cc~2", 2)
    assert (traces[0]["session"]["sequence"], traces[0]["session"]["header"]) == (1, True)
    shown = await gateway.cli("sessions", "show", "cc")
    assert "closed by its last call" in shown
    assert "continued by cc~2" in shown


async def test_a_session_that_ends_while_an_exchange_runs_keeps_what_that_comes_to(
    gateway: WatchedGateway, model: BuiltinModel
) -> None:
    pace = model.manual_pace()
    running = asyncio.create_task(call(gateway, x_session_id="talk"))
    await model.received()
    ending = asyncio.create_task(call(gateway, x_session_id="talk", **ENDS))
    await model.received(2)
    with pytest.raises(APIStatusError, match="410"):
        await call(gateway, x_session_id="talk")
    pace.release_all()
    assert [await running, await ending] == ["talk", "talk"]
    session = await session_of(gateway, "talk", 2)
    assert (session["lifecycle"], session["closed_by"], session["failures"]) == ("closed", "end", 0)
    with pytest.raises(APIStatusError, match="410"):
        await call(gateway, x_session_id="talk")


async def test_a_restart_changes_nothing_about_what_is_closed_and_what_is_open(
    gateway: WatchedGateway, model: BuiltinModel
) -> None:
    await call(gateway, x_session_id="over", **ENDS)
    await call(gateway, x_session_id="running")
    await session_of(gateway, "over", 1)
    await gateway.stop()
    await gateway.start()
    assert await call(gateway, x_session_id="running") == "running"
    with pytest.raises(APIStatusError, match="410"):
        await call(gateway, x_session_id="over")
    assert (await session_of(gateway, "running", 2))["lifecycle"] == "open"
    assert (await session_of(gateway, "over", 1))["lifecycle"] == "closed"
    assert gateway.sequences()["running"] == [(1, True), (2, False)]


async def test_store_and_state_close_idle_sessions_by_the_same_setting(model: BuiltinModel, tmp_path: Path) -> None:
    """With a setting of no time at all: every look comes later than that."""
    async with WatchedGateway(tmp_path, model.url, config(tmp_path, {"close_after": "1ms"})) as gateway:
        await call(gateway, x_session_id="talk")
        session = await session_of(gateway, "talk", 1)
        assert (session["lifecycle"], session["closed_by"]) == ("closed", "idle")
        with pytest.raises(APIStatusError) as refused:
            await call(gateway, x_session_id="talk")
        assert refused.value.code == "session_closed"
        listed = [session for session in await gateway.sessions() if session["id"] == "talk"]
        assert [session["closed_by"] for session in listed] == ["idle"], "the command line goes by it too"


async def test_only_a_user_or_an_agent_heads_a_session(gateway: WatchedGateway) -> None:
    for participant in ("tool", "user"):
        await call(gateway, x_session_id="talk", x_participant=participant)
    await call(gateway, x_session_id="other", x_participant="agent")
    await session_of(gateway, "talk", 2)
    await session_of(gateway, "other", 1)
    assert gateway.sequences() == {"talk": [(1, False), (2, False)], "other": [(1, True)]}


async def test_a_session_adds_up_tokens_tools_models_failures_and_cost(gateway: WatchedGateway) -> None:
    for model, tools in (("demo", ()), ("demo-tools", [TOOL]), ("demo-no-usage", ())):
        await call(gateway, model, tools, x_session_id="talk")
    with pytest.raises(APIStatusError, match="500"):
        await call(gateway, "demo-error-500", x_session_id="talk")
    session = await session_of(gateway, "talk", 4)
    traces = await gateway.traces("talk", 8)
    used = [trace["usage"] for trace in traces if trace["direction"] == "response"]
    into, out = (sum(each[kind] or 0 for each in used) for kind in ("input_tokens", "output_tokens"))
    assert into > 0
    assert (session["input_tokens"], session["output_tokens"], session["failures"]) == (into, out, 1)
    assert session["models"] == ["demo", "demo-error-500", "demo-no-usage", "demo-tools"]
    assert (session["tools"], session["tool_calls"]) == (["weather"], 1)
    assert session["cost_usd"] == pytest.approx((2 * into + 10 * out) / 1e6)
    assert session["unpriced"] == 1, "the one without usage; the failed one cost nothing"
    assert [each["cost_usd"] is None for each in traces if each["direction"] == "response"] == [
        False,
        False,
        True,
        True,
    ]


async def test_a_deleted_session_is_gone_and_what_comes_later_begins_it_anew(gateway: WatchedGateway) -> None:
    await call(gateway, x_session_id="talk")
    await call(gateway, x_session_id="other")
    await session_of(gateway, "talk", 1)
    await session_of(gateway, "other", 1)
    exported = json.loads(await gateway.cli("sessions", "export", "talk"))
    assert [len(exported["traces"]), exported["session"]["id"]] == [2, "talk"]
    assert "deleted talk: 1 exchange" in await gateway.cli("sessions", "delete", "talk")
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {TOKEN}"}) as session,
        session.get(f"{gateway.console_url}/api/v1/sessions/talk") as answer,
    ):
        assert answer.status == 404
    assert [each["id"] for each in await gateway.sessions()] == ["other"]
    await call(gateway, x_session_id="talk")
    assert (await session_of(gateway, "talk", 1))["exchanges"] == 1
