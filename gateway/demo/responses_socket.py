"""OpenAI Responses over a WebSocket, as the built-in model speaks it: a stream's events, one a message. No I/O."""

from hashlib import blake2b
from typing import Any

import msgspec

from gateway.demo.answering import answer_to
from gateway.demo.websocket import Said

_to_json = msgspec.json.Encoder().encode


class ResponsesSpeaker:
    """Implements `Speaker`."""

    def __init__(self, target: str) -> None:
        self._path = target.partition("?")[0]

    def hello(self) -> list[bytes]:
        return []

    def said(self, message: bytes) -> Said:
        try:
            event: dict[str, Any] = msgspec.json.decode(message, type=dict[str, Any])
        except msgspec.MsgspecError:
            return Said([_error(400, {"type": "invalid_request_error", "message": "This is not a JSON object."})])
        if event.pop("type", None) != "response.create":
            return Said([_error(400, {"type": "invalid_request_error", "message": "Unknown event type."})])
        body = _to_json(event | {"stream": True})
        seed = blake2b(self._path.encode() + b"\n" + body, digest_size=12).hexdigest()
        answer, behaviour = answer_to("POST", self._path, body, 0, seed)
        if not answer.streamed:
            whole = msgspec.json.decode(b"".join(answer.pieces)) if answer.status != 200 else {}
            return Said([_error(answer.status, whole.get("error", {}))])
        return Said([data for piece in answer.pieces if (data := _data(piece))], behaviour, _data(answer.error_event))


def _data(event: bytes) -> bytes:
    """What a server-sent event says, without its framing."""
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"" if lines == [b"[DONE]"] else b"".join(lines)


def _error(status: int, error: dict[str, Any]) -> bytes:
    shape = {"type": "server_error", "code": None, "message": "The built-in model failed.", "param": None}
    return _to_json({"type": "error", "status": status, "error": shape | error})
