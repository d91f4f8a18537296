"""A console over a store of the test's own, and a browser or a script that talks to it."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from gateway.console.app import console_app
from gateway.console.auth import Auth, admin_token
from gateway.console.desk import Desk
from gateway.console.pages import Pages
from gateway.link.records import ExchangeRecord
from gateway.store import rows
from gateway.store.sqlite import connect_writer

TOKEN = "the-administrator's-token"
NOW_S = 100_000.0
Client = TestClient[Request, Application]
Put = Callable[..., None]


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[tuple[Client, Put]]:
    path = tmp_path / "spangate.db"
    connection = connect_writer(path)

    def put(*records: ExchangeRecord) -> None:
        _insert(records)

    def _insert(records: Sequence[ExchangeRecord]) -> None:
        with connection:
            connection.execute("BEGIN")
            rows.insert(connection, records, day=1)

    desk = Desk(path, lambda: NOW_S)
    app = console_app(desk, Auth(admin_token(tmp_path, TOKEN)), Pages("http://127.0.0.1:4000", lambda: NOW_S))
    async with TestClient(TestServer(app)) as client:
        yield client, put
    desk.close()
    connection.close()


@pytest.fixture
def stranger(console: tuple[Client, Put]) -> Client:
    """Nobody's browser."""
    return console[0]


@pytest.fixture
def put(console: tuple[Client, Put]) -> Put:
    return console[1]


@pytest.fixture
def script(stranger: Client) -> Client:
    """Shows the token with every request."""
    stranger.session.headers["Authorization"] = f"Bearer {TOKEN}"
    return stranger
