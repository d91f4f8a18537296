"""An exchange waits in a real gateway, and people decide by the command line and by the API."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp

from gateway.demo.model import BuiltinModel
from tests.app.conftest import WatchedGateway
from tests.e2e.gateway_process import TOKEN

AGENT = (
    "agent: keeper\nrole: enforcer\nintent: escalate\nescalation: {mode: hold, timeout: 300s}\n"
    "detect: {codenames: {keywords: [nightjar]}}\n"
)


async def pending(gateway: WatchedGateway, count: int = 1) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        while True:
            items: list[dict[str, Any]] = (await gateway.api("reviews?status=pending"))["items"]
            if len(items) == count:
                return items
            await asyncio.sleep(0.02)


async def ask(session: aiohttp.ClientSession, gateway: WatchedGateway) -> tuple[int, str]:
    body = {"model": "builtin", "messages": [{"role": "user", "content": "tell me of the nightjar"}]}
    async with session.post(f"{gateway.openai_url}/chat/completions", json=body) as answer:
        await answer.read()
        return answer.status, answer.headers.get("x-spangate-code", "")


async def test_people_decide_by_command_and_by_api_also_after_the_control_plane_died(
    model: BuiltinModel, tmp_path: Path
) -> None:
    (tmp_path / "keeper.yaml").write_text(AGENT)
    traces = {"receivers": ["llm"], "processors": ["session", "policy"], "exporters": ["store"]}
    written = {
        "processors": {"session": {}, "policy": {"files": [str(tmp_path / "keeper.yaml")]}},
        "service": {"pipelines": {"traces": traces}},
    }
    gateway = WatchedGateway(tmp_path, model.url, written)
    await gateway.start()
    try:
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(ask(session, gateway))
            [waiting] = await pending(gateway)
            assert (waiting["agent"], waiting["direction"], waiting["status"]) == ("keeper", "inlet", "pending")
            assert waiting["id"] in await gateway.cli("reviews", "list")
            await gateway.cli("reviews", "approve", waiting["id"])
            assert await asking == (200, "")

            asking = asyncio.create_task(ask(session, gateway))
            [waiting] = await pending(gateway)
            os.kill(gateway.child("control-plane"), signal.SIGKILL)
            await gateway.healthy(200)
            headers = {"authorization": f"Bearer {TOKEN}"}
            url = f"{gateway.console_url}/api/v1/reviews/{waiting['id']}/decision"
            async with session.post(url, headers=headers, data=json.dumps({"decision": "maybe"})) as answer:
                assert answer.status == 400
            async with session.post(url, data=json.dumps({"decision": "decline"})) as answer:
                assert answer.status == 401
            said = json.dumps({"decision": "decline", "reason": "no birds"})
            async with session.post(url, headers=headers, data=said) as answer:
                assert answer.status == 200
            assert await asking == (403, "review_declined")
            async with session.post(url, headers=headers, data=said) as answer:
                assert answer.status == 409
            listed = json.loads(await gateway.cli("reviews", "list", "--all", "--json"))
            assert {each["decision"] for each in listed} == {"approve", "decline"}
    finally:
        await gateway.stop()
