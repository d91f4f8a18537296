"""A Python client that asks the built-in model directly and then through the gateway: nobody may be able to tell."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import httpx2

from gateway.demo.model import BuiltinModel
from tests.e2e.gateway_process import Gateway
from tests.e2e.test_bytes import end_to_end

_EXCHANGE = "x-spangate-exchange"
_MAY_DIFFER = ("x-spangate-", "server-timing", "connection", "transfer-encoding")

Asking = Callable[[str, httpx2.AsyncClient], Awaitable[Any]]
"""Asks at OpenAI's base URL with this HTTP client, and returns what its library made of the answers."""


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    """As it came, before its content was decoded."""


class Both(NamedTuple):
    told: Any
    """What the library made of it; its exception where it raised one."""
    exchanges: list[str]
    """The gateway's id of each."""


async def same_both_ways(asking: Asking, model: BuiltinModel, gateway: Gateway) -> Both:
    """Fails where what the library says, the bytes of the answers or the requests that the model got differ."""
    direct = await _asked(asking, f"{model.url}/v1", model)
    relayed = await _asked(asking, gateway.openai_url, model)
    assert _comparable(relayed.told) == _comparable(direct.told)
    assert [_end_to_end(answer) for answer in relayed.answers] == [_end_to_end(answer) for answer in direct.answers]
    assert relayed.sent == direct.sent
    return Both(relayed.told, [dict(answer.headers)[_EXCHANGE] for answer in relayed.answers])


class _Asked(NamedTuple):
    told: Any
    answers: list[Answer]
    sent: list[Any]


async def _asked(asking: Asking, url: str, model: BuiltinModel) -> _Asked:
    before = model.count
    recording = _Recording()
    async with httpx2.AsyncClient(transport=recording) as http:
        try:
            told = await asking(url, http)
        except Exception as error:  # Whatever the library raises is what it says.
            told = error
    requests = list(model.requests)[before - model.count :]
    return _Asked(
        told, recording.answers(), [(each.method, each.target, end_to_end(each), each.body) for each in requests]
    )


def _comparable(told: Any) -> Any:
    """Exceptions compare by identity, and those of these libraries hold the response."""
    return (type(told), str(told), getattr(told, "body", None)) if isinstance(told, Exception) else told


def _end_to_end(answer: Answer) -> Answer:
    headers = [pair for pair in answer.headers if not pair[0].startswith(_MAY_DIFFER)]
    return answer._replace(headers=headers)


class _Recording(httpx2.AsyncBaseTransport):
    """Keeps what comes, as it comes."""

    def __init__(self) -> None:
        self._transport = httpx2.AsyncHTTPTransport()
        self._seen: list[tuple[httpx2.Response, _Kept]] = []

    def answers(self) -> list[Answer]:
        return [
            Answer(response.status_code, response.headers.multi_items(), b"".join(kept.pieces))
            for response, kept in self._seen
        ]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._transport.handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        kept = _Kept(response.stream)
        response.stream = kept
        self._seen.append((response, kept))
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Kept(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream
        self.pieces: list[bytes] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self.pieces.append(piece)
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
