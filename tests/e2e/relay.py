"""A reverse proxy before the gateway: of each exchange it notes what the gateway said, and it can take out all names.

Those are what a coding agent calls its sessions and agents, in headers and bodies.
"""

import json
from typing import Any, Self

from aiohttp import ClientSession, web

_NAMES = (
    "x-claude-code-",
    "x-codex-",
    "x-openai-subagent",
    "x-opencode-",
    "x-parent-session-id",
    "x-session-",
    "session-id",
    "thread-id",
    "x-client-request-id",
)
_FIELDS = ("metadata", "client_metadata", "prompt_cache_key")
_ITS_OWN = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")


class Relay:
    """For one client; `named`: it lets names through."""

    def __init__(self, upstream: str, *, named: bool) -> None:
        self.told: list[dict[str, str]] = []
        """Headers of the answer to each POST, in the order in which they came."""
        self.url = ""
        self._upstream = upstream
        self._named = named
        self._runner: web.AppRunner | None = None
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._relay)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _relay(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        told: dict[str, str] = {}
        if request.method == "POST":
            self.told.append(told)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _ITS_OWN and (self._named or not name.lower().startswith(_NAMES))
        }
        url = self._upstream + request.raw_path
        body = await request.read()
        async with self._session.request(
            request.method,
            url,
            data=body or None if self._named else _nameless(body),
            headers=headers,
            skip_auto_headers=["User-Agent"],
        ) as answer:
            told |= {name.lower(): value for name, value in answer.headers.items()}
            passed = {name: value for name, value in answer.headers.items() if name.lower() not in _ITS_OWN}
            response = web.StreamResponse(status=answer.status, headers=passed)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            return response


def _nameless(body: bytes) -> bytes | None:
    if not body:
        return None
    said: dict[str, Any] = json.loads(body)
    return json.dumps({name: value for name, value in said.items() if name not in _FIELDS}).encode()
