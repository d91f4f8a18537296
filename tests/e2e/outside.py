"""The rest of the world, as far as a program under test can see it: a forward proxy that lets nothing through."""

import asyncio
from typing import Self

_LONGEST_LINE = 1024


class Outside:
    """Whoever honours `environ` comes here with all that is not for this machine, and is refused."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """Methods and addresses, such as `CONNECT example.com:443`."""
        self._server: asyncio.Server | None = None

    @property
    def environ(self) -> dict[str, str]:
        assert self._server is not None
        url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return {"HTTPS_PROXY": url, "HTTP_PROXY": url, "NO_PROXY": "127.0.0.1,localhost"}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._refuse, "127.0.0.1", 0, limit=_LONGEST_LINE)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            self.asked.append(line.decode("latin-1").rpartition(" ")[0])
            writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
        except (ConnectionError, ValueError):
            self.asked.append("what is no request")
        finally:
            writer.close()
