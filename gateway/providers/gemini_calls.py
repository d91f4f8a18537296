"""A function call that Vertex AI streams in pieces (`streamFunctionCallArguments`), put together again. No I/O.

Source: google-genai 3.6 (`types.FunctionCall.partial_args`, `types.PartialArg`).
"""

from typing import Any

from gateway.model.message import ToolCall
from gateway.providers.google_names import camel_keys
from gateway.providers.lenient import text_or_none
from gateway.providers.parts import shallow

_VALUES = ("numberValue", "boolValue")


def piece_of_call(said: Any) -> dict[str, Any] | None:
    """The fields of a call that comes in pieces; None for any other part."""
    call = camel_keys(said).get("functionCall") if isinstance(said, dict) else None
    if not isinstance(call, dict):
        return None
    fields = camel_keys(call)
    # The last piece of a call may be empty.
    return fields if not fields or "partialArgs" in fields or "willContinue" in fields else None


class CallInPieces:
    """Begins with a name; each piece says where in the arguments its value belongs."""

    __slots__ = ("_arguments", "_id", "_name", "_strings")

    def __init__(self) -> None:
        self._name: str | None = None
        self._id: str | None = None
        self._arguments: dict[str, Any] = {}
        self._strings: dict[str, list[str]] = {}

    def add(self, call: dict[str, Any]) -> None:
        self._name = self._name or text_or_none(call.get("name"))
        self._id = self._id or text_or_none(call.get("id"))
        if isinstance(arguments := call.get("args"), dict):
            self._arguments |= arguments
        pieces = call.get("partialArgs")
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                self._add(camel_keys(piece))

    def _add(self, piece: dict[str, Any]) -> None:
        """A path below the top stays a path: `order.items[0]`."""
        path = (text_or_none(piece.get("jsonPath")) or "").removeprefix("$").removeprefix(".")
        if isinstance(text := piece.get("stringValue"), str):
            self._strings.setdefault(path, []).append(text)
            self._arguments.setdefault(path, "")
        else:
            self._arguments[path] = next((piece[field] for field in _VALUES if field in piece), None)

    def whole(self) -> ToolCall:
        joined = {path: "".join(pieces) for path, pieces in self._strings.items()}
        return ToolCall(self._name or "", self._id, shallow(self._arguments | joined))
