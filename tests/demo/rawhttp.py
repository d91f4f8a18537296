"""A client that shows every byte: what a server really sent, before anyone made sense of it."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"


def request_bytes(path: str, body: bytes, headers: tuple[str, ...] = (), method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: test", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def asking(model: str, **fields: Any) -> bytes:
    """A body that both APIs accept."""
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello there"}]}
    return json.dumps(body | fields).encode()


async def exchange(url: str, sent: bytes) -> bytes:
    """Everything the server sends until it closes. Raises ConnectionResetError where it resets."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(sent)
        return await reader.read(-1)
    finally:
        writer.close()


async def post(url: str, path: str, body: bytes, *headers: str) -> bytes:
    """The same for one POST that asks the server to close afterwards."""
    return await exchange(url, request_bytes(path, body, ("connection: close", *headers)))


def split(answer: bytes) -> tuple[list[str], bytes]:
    """Header lines (status first), and the body as it is on the wire."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


def unchunked(body: bytes) -> tuple[list[bytes], bool]:
    """The chunks, and whether the last one came."""
    chunks: list[bytes] = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return chunks, True
        chunks.append(body[:length])
        body = body[length + 2 :]
    return chunks, False
