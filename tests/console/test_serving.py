"""What listens tells nobody what a request held, nor what it is made of, and waits for no head for ever."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.console import serving
from gateway.console.serving import serve

SECRET = b"SECRETTOKEN"


@pytest.fixture
async def address(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    async def broken(request: web.Request) -> web.Response:
        raise ValueError(request.headers["X-Word"])

    monkeypatch.setattr(serving, "_HEAD_S", 0.2)
    app = web.Application()
    app.router.add_get("/broken", broken)
    runner = await serve(app, f"127.0.0.1:{unused_tcp_port}", "here")
    yield "127.0.0.1", unused_tcp_port
    await runner.cleanup()


async def answer(address: tuple[str, int], sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    got = await reader.read()
    writer.close()
    await writer.wait_closed()
    return got


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer %b\r\n\r\n" % SECRET,
        b"GET /a\x01 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n" % SECRET,
        b"%b {}\r\n\r\n" % SECRET,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00%b\r\n\r\n" % SECRET,
    ],
)
async def test_a_request_that_cannot_be_read_is_in_no_log(
    address: tuple[str, int], sent: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    got = await answer(address, sent)
    assert got.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"Server: spangate\r\n" in got
    assert b"iohttp" not in got
    assert SECRET.decode() not in caplog.text + "".join(capfd.readouterr())


async def test_our_own_mistake_is_told_without_content(
    address: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as logs:
        got = await answer(
            address, b"GET /broken HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Word: %b\r\n\r\n" % SECRET
        )
    assert got.startswith(b"HTTP/1.1 500 ")
    assert [log["error"] for log in logs] == ["ValueError"]
    assert "test_serving.py:" in logs[0]["at"]
    assert SECRET.decode() not in str(logs) + caplog.text


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX: "])
async def test_half_a_head_is_not_waited_for(address: tuple[str, int], sent: bytes) -> None:
    assert await answer(address, sent) == b""
