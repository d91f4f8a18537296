"""OpenAI's Responses over a WebSocket (`GET …/responses`): which events belong to which response. No I/O.

A `response.create` has the fields of an HTTP request's body beside its type, and the events that come back are those of
the stream, so `OpenAIResponses` reads both. Responses run one after the other on a lane (`stream_id`).

Source: types of openai 3.54 (`types/responses/responses_client_event.py`, `responses_server_event.py`).
"""

from collections import deque
from typing import Any

import msgspec

from gateway.contracts import Dialogue, Step
from gateway.model.exchange import Refusal
from gateway.providers.socket_events import Event, clear, error_of, read_event

_TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled"})
_STEER_ENDS = frozenset({"response.steer.accepted", "response.steer.failed"})
_LONGEST_STEER = 64 * 1024


class _Event(Event):
    stream_id: Any = None


_decoder = msgspec.json.Decoder(_Event)


class ResponsesSocket:
    """Implements `Spoken`."""

    name = "openai_responses"

    def spoken_at(self, path: str) -> bool:
        return path.endswith("/responses")

    def dialogue(self, strict: bool) -> Dialogue:
        return _Responses(strict)


class _Lane:
    def __init__(self) -> None:
        self.responses: deque[int] = deque()
        self.steers: deque[int] = deque()
        self.steered = b""
        """What the latest steer asked for: a response may begin with it that nobody else asked for."""


class _Responses:
    """Implements `Dialogue`."""

    def __init__(self, strict: bool) -> None:
        self.session = ""
        self._strict = strict
        self._lanes: dict[str, _Lane] = {}
        self._count = 0

    def client_event(self, event: bytes, whole: bool) -> Step | None:
        read, whole = read_event(_decoder, _Event, event, whole)
        asks = read is None or read.type in ("response.create", "response.steer")
        doubtful = self._strict and (not whole or (read is not None and not clear(event)))
        if not asks and not self._strict:
            return None
        self._count += 1
        if not asks:  # SECURITY: its upstream may read another type in it, or know what we do not
            return Step(self._count, request=event, passes=True)
        kind = read.type if read is not None and not doubtful else "response.create"
        lane = self._lane(read)
        if kind == "response.steer":
            lane.steers.append(self._count)
            lane.steered = event[:_LONGEST_STEER]
        else:
            lane.responses.append(self._count)
            lane.steered = b""
        return Step(self._count, request=event)

    def server_event(self, event: bytes, whole: bool) -> Step | None:
        read, _ = read_event(_decoder, _Event, event, whole)
        if read is None or not (read.type.startswith("response.") or read.type == "error"):
            return None  # rate limits and the like are nobody's response
        lane = self._lane(read)
        if read.type.startswith("response.steer."):
            return self._steer(lane, read.type, event)
        if read.type == "response.created" and not lane.responses:
            return self._unasked(lane, event)
        if read.type == "error":
            return self._error(lane, event)
        if not lane.responses:
            return None
        ends = read.type in _TERMINAL
        return Step(lane.responses.popleft() if ends else lane.responses[0], kept=event, ends=ends)

    def _steer(self, lane: _Lane, kind: str, event: bytes) -> Step | None:
        if not lane.steers or kind not in _STEER_ENDS:
            return None
        return Step(lane.steers.popleft(), kept=event, ends=True, failed=kind == "response.steer.failed")

    def _unasked(self, lane: _Lane, event: bytes) -> Step:
        """A steered response's successor, which the server begins by itself."""
        self._count += 1
        lane.responses.append(self._count)
        request, lane.steered = lane.steered or b"{}", b""
        return Step(self._count, request=request, kept=event)

    def _error(self, lane: _Lane, event: bytes) -> Step | None:
        waiting = lane.responses or lane.steers or self._oldest()
        return Step(waiting.popleft(), kept=event, ends=True, failed=True) if waiting else None

    def _oldest(self) -> deque[int]:
        """An error that names no lane: of whoever waits longest."""
        waiting = [lane.responses for lane in self._lanes.values() if lane.responses]
        return min(waiting, key=lambda numbers: numbers[0]) if waiting else deque()

    def _lane(self, event: _Event | None) -> _Lane:
        name = event.stream_id if event is not None and isinstance(event.stream_id, str) else ""
        lane = self._lanes.get(name)
        if lane is None:
            # Names are the client's: those on which nothing runs are not worth remembering.
            if len(self._lanes) >= 64:
                self._lanes = {each: kept for each, kept in self._lanes.items() if kept.responses or kept.steers}
            lane = self._lanes[name] = _Lane()
        return lane

    def left(self, number: int) -> bytes:
        for lane in self._lanes.values():
            for numbers in (lane.responses, lane.steers):
                if number in numbers:
                    numbers.remove(number)
        return b""

    def refusal(self, number: int, refusal: Refusal) -> bytes:
        """The SDK has the error's fields in `error`, the HTTP stream's event has them beside the type: both."""
        error = error_of(refusal)
        flat = {key: error[key] for key in ("code", "message", "param")}
        return msgspec.json.encode(
            {"type": "error", "status": refusal.status, **flat, "sequence_number": 0, "error": error}
        )
