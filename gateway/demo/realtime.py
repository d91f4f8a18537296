"""OpenAI Realtime as the built-in model speaks it: text, speech that is none, tools, transcripts. No I/O.

Shapes: openai 3.54's types (`types/realtime`). The model in the address says what happens, as everywhere.
"""

from base64 import b64decode, b64encode
from typing import Any

import msgspec

from gateway.demo.behaviour import Behaviour
from gateway.demo.conversation import Ask, Reply, Tool, Turn, pieces, reply_to
from gateway.demo.websocket import Said

_to_json = msgspec.json.Encoder().encode


class RealtimeSpeaker:
    """Implements `Speaker`."""

    def __init__(self, model: str, behaviour: Behaviour, seed: str) -> None:
        self._behaviour = behaviour
        self._seed = seed
        self._events = 0
        self._responses = 0
        self._items: list[dict[str, Any]] = []
        self._sound = 0
        self._session: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": f"sess_{seed}",
            "model": model,
            "output_modalities": ["text"],
            "instructions": "",
            "tools": [],
        }

    def hello(self) -> list[bytes]:
        return [self._event("session.created", session=self._session)]

    def said(self, message: bytes) -> Said:
        try:
            event: dict[str, Any] = msgspec.json.decode(message, type=dict[str, Any])
        except msgspec.MsgspecError:
            return Said([self._error({}, "invalid_json", "This is not a JSON object.")])
        match event.get("type"):
            case "session.update":
                self._session |= event.get("session", {})
                return Said([self._event("session.updated", session=self._session)])
            case "conversation.item.create":
                return Said(self._added(dict(event.get("item") or {})))
            case "input_audio_buffer.append":
                self._sound += len(b64decode(event.get("audio", "")))
                return Said([])
            case "input_audio_buffer.commit":
                return Said(self._committed(event))
            case "response.create":
                return self._response(event)
        return Said([self._error(event, "unknown_event", f"Unknown event type: {event.get('type')}.")])

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._events += 1
        return _to_json({"type": kind, "event_id": f"event_{self._seed}_{self._events}"} | fields)

    def _error(self, event: dict[str, Any], code: str, message: str) -> bytes:
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
        return self._event("error", error=error | {"event_id": event.get("event_id")})

    # Items

    def _added(self, item: dict[str, Any]) -> list[bytes]:
        before = self._items[-1]["id"] if self._items else None
        item = {"id": f"item_{self._seed}_{len(self._items)}", "object": "realtime.item", "status": "completed"} | item
        self._items.append(item)
        shown = _without_sound(item)
        return [
            self._event("conversation.item.added", previous_item_id=before, item=shown),
            self._event("conversation.item.done", previous_item_id=before, item=shown),
        ]

    def _committed(self, event: dict[str, Any]) -> list[bytes]:
        if not self._sound:
            return [self._error(event, "input_audio_buffer_commit_empty", "The input audio buffer is empty.")]
        said = f"These were {self._sound} bytes of sound."
        self._sound = 0
        item_id = f"item_{self._seed}_{len(self._items)}"
        content = [{"type": "input_audio", "transcript": None}]
        added = self._added({"id": item_id, "type": "message", "role": "user", "content": content})
        self._items[-1]["content"] = [{"type": "input_text", "text": said}]
        return [
            self._event("input_audio_buffer.committed", previous_item_id=None, item_id=item_id),
            *added,
            self._event(
                "conversation.item.input_audio_transcription.completed",
                item_id=item_id,
                content_index=0,
                transcript=said,
                usage={"type": "duration", "seconds": 1.0},
            ),
        ]

    # Responses

    def _response(self, event: dict[str, Any]) -> Said:
        if self._behaviour.error:
            return Said([self._error(event, "demo", f"The built-in model answers {self._behaviour.error}.")])
        said = dict(event.get("response") or {})
        settings = self._session | said
        ask = Ask(
            seed=f"{self._seed}{self._responses}",
            model=settings["model"],
            turns=tuple(_turn(item) for item in said.get("input", self._items)),
            tools=tuple(Tool(tool["name"], tool.get("parameters") or {}) for tool in settings["tools"]),
            tool_required=settings.get("tool_choice") == "required",
            stream=True,
        )
        self._responses += 1
        reply = reply_to(ask, self._behaviour)
        spoken = "audio" in settings["output_modalities"]
        error = self._error(event, "demo", "The built-in model breaks off, as its name asks for.")
        events = self._answer(ask, reply, spoken, beside=said.get("conversation") == "none")
        return Said(events, self._behaviour, error)

    def _answer(self, ask: Ask, reply: Reply, spoken: bool, beside: bool) -> list[bytes]:
        response: dict[str, Any] = {
            "id": f"resp_{ask.seed}",
            "object": "realtime.response",
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "conversation_id": f"conv_{self._seed}",
            "output_modalities": ["audio" if spoken else "text"],
            "usage": None,
        }
        events = [self._event("response.created", response=response)]
        place = {"response_id": response["id"], "output_index": 0}
        item = _call_item(ask, reply) if reply.call else _message_item(ask, reply, spoken)
        events += self._called(item, place) if reply.call else self._spoke(item, reply, spoken, place)
        if not beside:
            self._items.append(item)
            events.insert(2, self._event("conversation.item.added", previous_item_id=None, item=_begun(item)))
            events.append(self._event("conversation.item.done", previous_item_id=None, item=item))
        done = response | {"status": "completed", "output": [item]}
        if self._behaviour.usage:
            done["usage"] = _usage(reply, spoken)
        return [*events, self._event("response.done", response=done)]

    def _called(self, item: dict[str, Any], place: dict[str, Any]) -> list[bytes]:
        place = place | {"item_id": item["id"], "call_id": item["call_id"]}
        arguments: str = item["arguments"]
        halves = (arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :])
        return [
            self._event("response.output_item.added", **place, item=_begun(item)),
            *(self._event("response.function_call_arguments.delta", **place, delta=half) for half in halves),
            self._event("response.function_call_arguments.done", **place, name=item["name"], arguments=arguments),
            self._event("response.output_item.done", **place, item=item),
        ]

    def _spoke(self, item: dict[str, Any], reply: Reply, spoken: bool, place: dict[str, Any]) -> list[bytes]:
        begun = self._event("response.output_item.added", **place, item=item | {"status": "in_progress", "content": []})
        place = place | {"item_id": item["id"], "content_index": 0}
        events = [begun]
        said = "response.output_audio_transcript" if spoken else "response.output_text"
        for piece in pieces(reply.text):
            events.append(self._event(f"{said}.delta", **place, delta=piece))
            if spoken:
                sound = b64encode(piece.encode() * 40).decode()
                events.append(self._event("response.output_audio.delta", **place, delta=sound))
        if spoken:
            events.append(self._event("response.output_audio.done", **place))
        events.append(self._event(f"{said}.done", **place, **{"transcript" if spoken else "text": reply.text}))
        return [*events, self._event("response.output_item.done", **place, item=item)]


def _message_item(ask: Ask, reply: Reply, spoken: bool) -> dict[str, Any]:
    content = (
        {"type": "output_audio", "transcript": reply.text} if spoken else {"type": "output_text", "text": reply.text}
    )
    return _item(ask, "message") | {"role": "assistant", "content": [content]}


def _call_item(ask: Ask, reply: Reply) -> dict[str, Any]:
    assert reply.call is not None
    arguments = _to_json(reply.call.arguments).decode()
    return _item(ask, "function_call") | {
        "call_id": f"call_{ask.seed}",
        "name": reply.call.name,
        "arguments": arguments,
    }


def _begun(item: dict[str, Any]) -> dict[str, Any]:
    """As an item is announced: nothing of it has been said."""
    nothing: dict[str, Any] = {"content": []} if "content" in item else {"arguments": ""}
    return item | {"status": "in_progress"} | nothing


def _item(ask: Ask, kind: str) -> dict[str, Any]:
    return {"id": f"item_{ask.seed}", "object": "realtime.item", "type": kind, "status": "completed"}


def _turn(item: dict[str, Any]) -> Turn:
    if item.get("type") == "function_call_output":
        return Turn("tool", str(item.get("output", "")))
    content = item.get("content") or []
    text = "\n".join(str(part.get("text") or part.get("transcript") or "") for part in content)
    match item.get("role"):
        case "system":
            return Turn("system", text)
        case "assistant":
            return Turn("assistant", text)
    return Turn("user", text)


def _without_sound(item: dict[str, Any]) -> dict[str, Any]:
    """As the API repeats items: the sound itself is left out."""
    content = item.get("content")
    if not isinstance(content, list):
        return item
    return item | {"content": [{key: part[key] for key in part if key != "audio"} for part in content]}


def _usage(reply: Reply, spoken: bool) -> dict[str, Any]:
    tokens = reply.tokens
    sound = tokens.output // 2 if spoken else 0
    return {
        "total_tokens": tokens.prompt + tokens.output,
        "input_tokens": tokens.prompt,
        "output_tokens": tokens.output,
        "input_token_details": {
            "text_tokens": tokens.prompt,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": tokens.history,
            "cached_tokens_details": {"text_tokens": tokens.history, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": tokens.output - sound, "audio_tokens": sound},
    }
