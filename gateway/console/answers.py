"""JSON answers of the API: pages, things, and errors in one shape. No queries."""

from typing import Generic, TypeVar

import msgspec
from aiohttp import web

_to_json = msgspec.json.Encoder().encode
Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item]):
    items: list[Item]
    next: str | None


class _Error(msgspec.Struct):
    code: str
    message: str


class _Failure(msgspec.Struct):
    error: _Error


def answered(thing: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=_to_json(thing), status=status, content_type="application/json")


def failed(status: int, code: str, message: str) -> web.Response:
    return answered(_Failure(_Error(code, message)), status)
