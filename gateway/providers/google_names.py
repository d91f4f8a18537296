"""What Google's APIs have in common beside messages: two spellings of each field, a model in the path, error statuses.

Source: google-genai 3.6 (`types.py`, `errors.py`); google.rpc.Code for the statuses. No I/O.
"""

import re
from functools import lru_cache
from typing import NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec

from gateway.model.exchange import Refusal

_T = TypeVar("_T")
_CALL = re.compile(r"/(?:models|tunedModels|endpoints)/([^/:]+):([A-Za-z]+)$")
_STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    410: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    504: "DEADLINE_EXCEEDED",
}


class Call(NamedTuple):
    model: str = ""
    method: str = ""
    """`generateContent`, `rawPredict` …"""


def call_in(target: str) -> Call:
    """What `…/models/{model}:{method}` says, also with escapes in it; empty where it says nothing."""
    found = _CALL.search(unquote(target.partition("?")[0]))
    return Call(found[1], found[2]) if found is not None else Call()


def method_of(path: str) -> str:
    """The method that `path` calls, "" where it calls none."""
    return call_in(path).method


def camel_keys_once(fields: dict[str, _T]) -> dict[str, _T]:
    """The same for what must not be hidden behind another: raises ValueError where a field comes in both spellings."""
    named = camel_keys(fields)
    if len(named) < len(fields):
        raise ValueError("a field in both spellings")
    return named


def camel_keys(fields: dict[str, _T]) -> dict[str, _T]:
    """The same with every name in camelCase: both spellings are accepted, as by any JSON form of a protobuf message."""
    if any("_" in name for name in fields):
        return {camel(name): value for name, value in fields.items()}
    return fields


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """`inline_data` → `inlineData`."""
    first, *others = name.split("_")
    return first + "".join(other[:1].upper() + other[1:] for other in others)


def google_error(refusal: Refusal) -> bytes:
    """SDKs choose their exception by the code; ours stands in the details, where Google's own reasons do."""
    default = "UNAVAILABLE" if refusal.status >= 500 else "INVALID_ARGUMENT"
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": refusal.code, "domain": "spangate"}
    error = {
        "code": refusal.status,
        "message": refusal.message,
        "status": _STATUSES.get(refusal.status, default),
        "details": [reason],
    }
    return msgspec.json.encode({"error": error})
