"""The same request directly and through the real gateway: what the model gets and what the client gets are the same."""

import asyncio
from typing import NamedTuple

import pytest

from gateway.demo.connection import Received
from gateway.demo.model import BuiltinModel
from tests.demo.rawhttp import ANTHROPIC, OPENAI, asking, post, split, unchunked
from tests.e2e.gateway_process import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding")
_OURS = ("x-spangate-", "server-timing")
_SENT = ("accept-encoding: gzip, br, zstd, deflate", "X-Odd-CASE: kept", "x-twice: 1", "x-twice: 2", "x-empty: ")
_PREFIX = {OPENAI: "/openai", ANTHROPIC: "/anthropic"}
_TOOLS = {
    OPENAI: [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"city": {}}}}}],
    ANTHROPIC: [{"name": "f", "input_schema": {"properties": {"city": {}}}}],
}


class Content(NamedTuple):
    status: str
    headers: list[str]
    body: bytes
    complete: bool


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize(
    "name",
    [
        "demo",
        "demo-tools",
        "demo-reasoning",
        "demo-no-usage",
        "demo-long-20000",
        "demo-gzip",
        "demo-br",
        "demo-zstd",
        "demo-deflate",
        "demo-http10",
        "demo-close",
        "demo-headers",
        "demo-html",
        "demo-error-400",
        "demo-error-429",
        "demo-error-529",
        "demo-error-in-stream",
        "demo-cut-mid-body",
        "demo-no-such-model",
    ],
)
async def test_answer_is_the_same_bytes(
    model: BuiltinModel, gateway: Gateway, name: str, path: str, stream: bool
) -> None:
    body = asking(name, stream=stream, tools=_TOOLS[path], text="é\u2028 \\u00e9")
    direct = await post(model.url, path, body, *_SENT)
    sent_direct = await model.received(model.count)
    relayed = await post(gateway.url, _PREFIX[path] + path, body, *_SENT)
    sent_relayed = await model.received(model.count)
    assert content_of(relayed) == content_of(direct)
    assert sent_relayed.body == sent_direct.body == body
    assert sent_relayed.target == path
    assert end_to_end(sent_relayed) == end_to_end(sent_direct)


@pytest.mark.parametrize("name", ["demo-garbage", "demo-early-close"])
@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
async def test_model_that_breaks_before_its_answer_is_502_in_the_apis_own_shape(
    gateway: Gateway, name: str, path: str
) -> None:
    head, body = split(await post(gateway.url, _PREFIX[path] + path, asking(name)))
    assert head[0].split(" ")[1] == "502"
    assert "x-spangate-code: upstream_unreachable" in head
    assert (b'"code":"upstream_unreachable"' if path == OPENAI else b'"type":"error"') in body.replace(b" ", b"")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_reset_midway_is_never_a_complete_answer(gateway: Gateway, stream: bool) -> None:
    sent = asking("demo-reset-mid-stream", stream=stream)
    try:
        answer = await post(gateway.url, "/openai" + OPENAI, sent)
    except ConnectionResetError:
        return
    assert not content_of(answer).complete


async def test_client_that_hangs_up_frees_the_model(model: BuiltinModel, gateway: Gateway) -> None:
    asked = asyncio.create_task(post(gateway.url, "/openai" + OPENAI, asking("demo-hang")))
    request = await model.received(model.count + 1)
    asked.cancel()
    await request.gone()
    assert request.aborted


def content_of(answer: bytes) -> Content:
    head, body = split(answer)
    status = head[0].split(" ", 1)[1]
    headers = [line for line in head[1:] if not line.lower().startswith((*_HOP_BY_HOP, *_OURS))]
    names = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in head[1:]}
    if names.get("transfer-encoding") == "chunked":
        chunks, complete = unchunked(body)
        return Content(status, headers, b"".join(chunks), complete)
    return Content(status, headers, body, len(body) == int(names.get("content-length", len(body))))


def end_to_end(request: Received) -> list[tuple[bytes, bytes]]:
    return [pair for pair in request.headers if pair[0].lower() not in (b"host", b"connection")]
