"""Agents that go by more than texts, through the real gateway: who is refused, in which words, and who is not."""

import json
from pathlib import Path

import aiohttp

from gateway.demo.model import BuiltinModel
from tests.app.conftest import WatchedGateway

AGENTS = {
    "gate": "role: enforcer\ndetect: {old: {services: {exceptions: [{model: demo-1*, instead: demo}]}}}\nintent: block",
    "budget": "role: enforcer\nwhen: user == 'ada'\ndetect: {rate: {usage: {by: user, requests: 2}}}\nintent: block",
    "after": (
        "role: enforcer\nwhen: has(session.findings.bird)\ndetect: {any: {patterns: '.'}}\nintent: block\n"
        "message: This session is closed."
    ),
    "bird": "role: observer\ndetect: {bird: {keywords: [nightjar]}}",
}


async def test_conditions_usage_services_and_memory_refuse_whom_they_mean(model: BuiltinModel, tmp_path: Path) -> None:
    for name, text in AGENTS.items():
        (tmp_path / f"{name}.yaml").write_text(f"agent: {name}\n{text}\n")
    config = {
        "processors": {"session": {}, "policy": {"files": [f"{tmp_path}/{name}.yaml" for name in AGENTS]}},
        "workspaces": {"yard": {"agents": "disabled"}},
        "service": {"pipelines": {"traces": {"processors": ["session", "policy"]}}},
    }
    async with WatchedGateway(tmp_path, model.url, config) as gateway, aiohttp.ClientSession() as session:
        told: list[str] = []

        async def call(text: str = "hello", named: str = "demo", **headers: str) -> int:
            body = {"model": named, "messages": [{"role": "user", "content": text}]}
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            url = f"{gateway.openai_url}/chat/completions"
            async with session.post(url, json=body, headers=sent) as answer:
                said = json.loads(await answer.read())
                told.append(said["error"]["message"] if answer.status == 403 else "")
                return answer.status

        assert [await call(x_user_id="ada") for _ in range(3)] == [200, 200, 403]
        assert told[-1].startswith("Blocked by policy agent budget: rate: usage:requests.")
        assert [await call(x_user_id="bob") for _ in range(3)] == [200] * 3
        assert await call(named="demo-1.5") == 403
        assert told[-1] == "Blocked by policy agent gate: old: service:denied. Use demo instead."
        assert await call(named="demo-1.5", x_workspace="yard") == 404  # it has left: the model knows none of that name
        assert await call("a nightjar", x_session_id="one") == 200
        await gateway.traces("one", 2)  # the observer has seen it
        assert await call("go on", x_session_id="one") == 403
        assert told[-1].startswith("Blocked by policy agent after: any: pattern:0")
        assert told[-1].endswith(" This session is closed.")
        assert await call("go on", x_session_id="two") == 200
