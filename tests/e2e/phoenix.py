"""Arize Phoenix on free ports, and what its API and its own session view say."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from tests.e2e.gateway_process import free_ports
from tests.e2e.served import POLL_S, Served

_VIEW = """{ projects { edges { node { name sessions(first: 1000) { edges { node {
    sessionId userId firstInput { value } lastOutput { value } tokenUsage { prompt completion }
    traces(first: 1000) { edges { node { traceId } } }
} } } } } } }"""
"""What its page of a project's sessions asks for."""


class Viewed(NamedTuple):
    """A session as Phoenix shows it."""

    traces: list[str]
    """OTel trace ids, oldest first."""
    user: str | None
    first_input: str
    last_output: str
    tokens: tuple[int, int]
    """Of prompts and completions."""


class Phoenix(Served):
    """Its database lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        port, grpc_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        environ = {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(grpc_port),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }
        super().__init__(".venv-phoenix/bin/phoenix", ["serve"], environ, f"{self.url}/healthz", folder)

    async def spans(self, project: str, count: int, within_s: float = 60.0) -> list[dict[str, Any]]:
        """The project's spans, once there are at least `count`."""
        spans: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(within_s), aiohttp.ClientSession() as session:
                while len(spans) < count:
                    await asyncio.sleep(POLL_S)
                    spans = await _items(session, f"{self.url}/v1/projects/{project}/spans?limit=1000")
        except TimeoutError:
            raise AssertionError(f"{len(spans)} of {count} spans reached Phoenix in {within_s} s") from None
        return spans

    async def sessions(self, project: str) -> list[dict[str, Any]]:
        async with aiohttp.ClientSession() as session:
            return await _items(session, f"{self.url}/v1/projects/{project}/sessions?limit=1000")

    async def viewed(self, project: str) -> dict[str, Viewed]:
        """The project's sessions by id."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/graphql", json={"query": _VIEW}) as answer,
        ):
            told = await answer.json()
        assert "errors" not in told, told["errors"]
        [found] = [each["sessions"] for each in _nodes(told["data"]["projects"]) if each["name"] == project]
        return {node["sessionId"]: _viewed(node) for node in _nodes(found)}


def _nodes(connection: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in connection["edges"]]


def _viewed(node: dict[str, Any]) -> Viewed:
    usage = node["tokenUsage"]
    return Viewed(
        [trace["traceId"] for trace in _nodes(node["traces"])],
        node["userId"],
        (node["firstInput"] or {}).get("value", ""),
        (node["lastOutput"] or {}).get("value", ""),
        (usage["prompt"], usage["completion"]),
    )


async def _items(session: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    """Nothing while the project does not exist: Phoenix makes it with its first span."""
    async with session.get(url) as answer:
        if answer.status == 404:
            return []
        assert answer.status == 200, await answer.text()
        return list((await answer.json())["data"])
