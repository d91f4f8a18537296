"""What a Realtime model has before it: the session's settings and the conversation's items. Bounded; no I/O."""

from binascii import a2b_base64
from hashlib import sha256
from typing import Any

import msgspec

from gateway.model.message import Blob
from gateway.providers.openai_realtime_item import lean

LIMIT = 1024 * 1024
"""Bytes of all items, and of the session's settings."""
_FIELDS = (
    "model",
    "instructions",
    "prompt",
    "tools",
    "temperature",
    "max_output_tokens",
    "max_response_output_tokens",
    "output_modalities",
    "modalities",
    "reasoning",
)
_to_json = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Sound:
    """Sound that passed in pieces of base64: how much, and its hash."""

    __slots__ = ("_hash", "size")

    def __init__(self) -> None:
        self._hash = sha256()
        self.size = 0

    def add(self, encoded: Any) -> None:
        if not isinstance(encoded, str):
            return
        try:
            piece = a2b_base64(encoded + "==")
        except ValueError:
            return
        self._hash.update(piece)
        self.size += len(piece)

    def blob(self) -> Blob:
        return Blob("audio", None, self._hash.hexdigest(), self.size)


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list | set) else value


class Memory:
    def __init__(self) -> None:
        self.sound = Sound()
        """What a client has sent of its speech since the last item was made of it."""
        self._session: dict[str, Any] = {}
        self._said: dict[str, Any] = {}
        """What else a client has said of the session: an upstream may read it, whatever it answers."""
        self._items: dict[str, bytes] = {}
        """By id, oldest first; those the server has not named yet by a number."""
        self._unnamed: list[str] = []
        self._sent: set[str] = set()
        """Those that a client sent."""
        self._alias: dict[str, str] = {}
        self._committed: dict[str, Blob] = {}
        self._size = 0
        self._count = 0
        self._cut = False
        """Something was left out."""

    def copy(self) -> "Memory":
        """As it is now: the same items, none of them changed by what comes."""
        other = Memory()
        other.__dict__.update({name: _copied(value) for name, value in self.__dict__.items()})
        return other

    def leave_out(self) -> None:
        """Something was said that cannot be kept."""
        self._cut = True

    def request(self, response: Any, beside: dict[str, Any]) -> bytes:
        """All of it as one body, with what `response.create` says in its response and beside it."""
        items = [msgspec.Raw(item) for item in self._items.values()]
        said = response if isinstance(response, dict) else {}
        if isinstance(said.get("input"), list):
            said = {**said, "input": [self._referred(item) for item in said["input"]]}
        session = self._said | self._session
        body = {"session": session, "items": items, "response": said, "cut": self._cut}
        return _to_json({**body, "beside": beside} if beside else body)

    def _referred(self, item: Any) -> Any:
        """The item of the conversation in place of one that only names it: what the model reads, agents see."""
        if isinstance(item, dict) and item.get("type") == "item_reference" and isinstance(item.get("id"), str):
            key = self._alias.get(item["id"], item["id"])
            if key in self._items:
                return msgspec.Raw(self._items[key])
            self._cut = True
        return item

    # The session

    def set_session(self, session: Any, whole: bool) -> None:
        """By the server, all of it."""
        self._cut = self._cut or not whole
        self._session = {}
        if isinstance(session, dict):
            self._keep({field: session[field] for field in _FIELDS if field in session}, {})

    def change_session(self, session: Any, whole: bool) -> None:
        """By the client."""
        self._cut = self._cut or not whole
        if isinstance(session, dict):
            known = {field: session[field] for field in _FIELDS if field in session}
            self._keep(known, {field: value for field, value in session.items() if field not in _FIELDS})

    def _keep(self, known: dict[str, Any], said: dict[str, Any]) -> None:
        known, said = self._session | known, self._said | said
        if len(_to_json(known)) + len(_to_json(said)) > LIMIT:
            self._cut = True
        else:
            self._session, self._said = known, said

    # Items

    def add(self, item: Any, whole: bool) -> None:
        """A client's; the server repeats it, with an id where it had none."""
        self._cut = self._cut or not whole
        if not isinstance(item, dict):
            return
        self._count += 1
        named = isinstance(item.get("id"), str)
        key: str = item["id"] if named else f"#{self._count}"
        if not named:
            self._unnamed.append(key)
        elif key in self._items:
            key = f"#{self._count}"  # the upstream refuses it and keeps the first, so that one must not be forgotten
        self._sent.add(key)
        self._put(key, item)

    def said(self, item: Any, whole: bool) -> None:
        """By the server, of an item that is now part of the conversation."""
        self._cut = self._cut or not whole
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            return
        item_id: str = item["id"]
        key = self._alias.get(item_id, item_id)
        if key not in self._items and self._unnamed and self._alike(self._unnamed[0], item):
            self._alias[item_id] = self._unnamed.pop(0)
            return
        known = _decode(self._items[key]) if key in self._items else {}
        # As the client sent it, or as it was transcribed: what the server repeats has less in it.
        if known.get("status") != "completed" and key not in self._sent:
            self._put(key, self._with_sound(key, item))

    def completed(self, item: Any) -> None:
        """A model's, whole; those of a response beside the conversation were never part of it."""
        item_id = item.get("id") if isinstance(item, dict) else None
        if isinstance(item_id, str) and item_id in self._items:
            self._put(item_id, item)

    def _alike(self, key: str, item: dict[str, Any]) -> bool:
        known = _decode(self._items[key]) if key in self._items else {}
        return bool(known.get("type") == item.get("type") and known.get("role") == item.get("role"))

    def _with_sound(self, key: str, item: dict[str, Any]) -> dict[str, Any]:
        sound, content = self._committed.get(key), item.get("content")
        if sound is None or not isinstance(content, list):
            return item
        spoken = [
            {**part, "audio": sound} if isinstance(part, dict) and part.get("type") == "input_audio" else part
            for part in content
        ]
        return {**item, "content": spoken}

    def committed(self, item_id: Any) -> None:
        """The speech until now is an item, of which the server speaks next."""
        if isinstance(item_id, str):
            self._committed[item_id] = self.sound.blob()
            if len(self._committed) > 256:
                del self._committed[next(iter(self._committed))]
        self.sound = Sound()

    def transcribed(self, item_id: Any, index: Any, transcript: Any) -> None:
        key = self._alias.get(item_id, item_id) if isinstance(item_id, str) else None
        if key is None or key not in self._items or not isinstance(transcript, str):
            return
        item = _decode(self._items[key])
        content = item.get("content")
        place = index if type(index) is int else 0
        if isinstance(content, list) and 0 <= place < len(content) and isinstance(content[place], dict):
            content[place]["transcript"] = transcript
            self._put(key, item)

    def forget(self, item_id: Any) -> None:
        if isinstance(item_id, str):
            self._drop(self._alias.pop(item_id, item_id))

    def _put(self, key: str, item: dict[str, Any]) -> None:
        raw = _to_json(lean(item))
        self._size += len(raw) - len(self._items.get(key, b""))
        self._items[key] = raw
        while self._size > LIMIT:
            self._cut = True
            self._drop(next(iter(self._items)))

    def _drop(self, key: str) -> None:
        self._size -= len(self._items.pop(key, b""))
        self._sent.discard(key)
        if key in self._unnamed:
            self._unnamed.remove(key)
        if len(self._alias) > len(self._items):
            self._alias = {item_id: each for item_id, each in self._alias.items() if each in self._items}
