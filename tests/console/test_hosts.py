"""A web page whose name was bent to this machine gets nothing out of the console (DNS rebinding)."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.console.hosts import named_well
from tests.console.conftest import Client


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:4001",
        "localhost",
        "LOCALHOST:4001",
        "a.localhost:4001",
        "[::1]:4001",
        "192.168.1.4",
        "box",
    ],
)
async def test_the_machines_own_names_are_answered(script: Client, host: str) -> None:
    assert (await script.get("/api/v1/sessions", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:4001", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "evil.example."],
)
@pytest.mark.parametrize("path", ["/api/v1/sessions", "/login", "/static/console.css", "/nowhere"])
async def test_another_name_is_refused_even_with_the_token(script: Client, host: str, path: str) -> None:
    answer = await script.get(path, headers={"Host": host})
    assert answer.status == 421
    said = await answer.json()
    assert said["error"]["code"] == "unknown_host"
    assert "extensions::console::hosts" in said["error"]["message"]
    assert "evil" not in said["error"]["message"]
    assert answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("endpoint", "hosts", "host", "status"),
    [
        ("127.0.0.1:4001", ["Console.example.com"], "console.example.com", 200),
        ("127.0.0.1:4001", ["console.example.com"], "other.example.com", 421),
        ("localhost:4001", [], "other.example.com", 421),
        ("[::1]:4001", [], "other.example.com", 421),
        ("0.0.0.0:4001", [], "console.example.com", 200),
        ("console.example.com:4001", [], "other.example.com", 200),
    ],
)
async def test_where_others_may_call_too_any_name_may_be_meant(
    endpoint: str, hosts: list[str], host: str, status: int
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(middlewares=[named_well(endpoint, hosts)])
    app.router.add_get("/", answer)
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/", headers={"Host": host})).status == status
