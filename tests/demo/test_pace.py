"""Time by hand: a test decides when each event leaves, and sees when a client goes."""

import asyncio

import openai

from gateway.demo.model import BuiltinModel
from tests.demo.rawhttp import OPENAI, asking, request_bytes


async def test_each_event_waits_for_its_release(model: BuiltinModel, openai_client: openai.AsyncOpenAI) -> None:
    pace = model.manual_pace()
    pace.release(2)
    stream = await openai_client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    chunks = aiter(stream)
    await anext(chunks)
    await anext(chunks)
    third = asyncio.ensure_future(anext(chunks))
    await pace.standing()
    assert not third.done()
    pace.release()
    assert (await third).choices[0].delta.content
    pace.release_all()
    assert [chunk async for chunk in stream]


async def test_client_that_hangs_up_midway_is_seen(model: BuiltinModel) -> None:
    pace = model.manual_pace()
    reader, writer = await asyncio.open_connection(*_address(model))
    writer.write(request_bytes(OPENAI, asking("demo", stream=True)))
    request = await model.received(1)
    pace.release()
    await reader.readuntil(b"data: ")
    assert not request.aborted
    writer.close()
    await request.gone()
    assert request.aborted


async def test_client_that_leaves_after_its_answer_aborted_nothing(model: BuiltinModel) -> None:
    reader, writer = await asyncio.open_connection(*_address(model))
    writer.write(request_bytes(OPENAI, asking("demo", stream=True)))
    request = await model.received(1)
    await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    await request.gone()
    assert not request.aborted


async def test_requests_are_kept_as_they_came(model: BuiltinModel) -> None:
    body = asking("demo")
    _, writer = await asyncio.open_connection(*_address(model))
    writer.write(request_bytes(OPENAI + "?a=1", body, ("X-Twice: one", "x-twice: two")))
    request = await model.received(1)
    assert (request.method, request.target, request.body) == ("POST", OPENAI + "?a=1", body)
    assert [pair for pair in request.headers if pair[0].lower() == b"x-twice"] == [
        (b"X-Twice", b"one"),
        (b"x-twice", b"two"),
    ]
    writer.close()


async def test_only_the_latest_requests_are_remembered() -> None:
    async with BuiltinModel(remember=2) as model:
        reader, writer = await asyncio.open_connection(*_address(model))
        for _ in range(3):
            writer.write(request_bytes("/", b"", method="GET"))
            await reader.readuntil(b"spangate.\n")
        assert model.count == 3
        assert len(model.requests) == 2
        assert await model.received(3) is model.requests[-1]
        writer.close()


def _address(model: BuiltinModel) -> tuple[str, int]:
    host, port = model.url.removeprefix("http://").split(":")
    return host, int(port)
