"""What the events of OpenAI's WebSocket APIs have in common: their type, read also where JSON is not whole. No I/O."""

import re
from typing import Any, TypeVar

import msgspec

from gateway.model.exchange import Refusal
from gateway.providers.lenient import check_names, value_of
from gateway.providers.openai_refusal import openai_error
from gateway.providers.request import with_repair

_T = TypeVar("_T", bound="Event")
_TYPE = re.compile(rb'"type"\s*:\s*"([a-z_.]{1,64})"')
_SEARCHED = 1024


class Event(msgspec.Struct):
    """The fields that say where an event belongs; an API adds its own."""

    type: Any = None


def read_event(
    decoder: "msgspec.json.Decoder[_T]", empty: type[_T], event: bytes, whole: bool
) -> tuple[_T | None, bool]:
    """The event, and whether it is all there: of one that is cut off or too deep only the type is known, if that.

    None for what is no event, as far as can be told.
    """
    read = with_repair(decoder.decode, event) if whole else None
    if read is not None:
        return (read if isinstance(read.type, str) else None), True
    found = _TYPE.search(event, 0, _SEARCHED)
    return (empty(type=found[1].decode()) if found is not None else None), False


def clear(event: bytes) -> bool:
    """Whether every parser reads the same in it: no name stands in one of its objects twice, none has large letters.

    Asked where somebody must see what leaves; for JSON that was decoded before.
    """
    try:
        value = value_of(event)
        check_names(event, value)
    except (ValueError, RecursionError):
        return False
    # Go's decoder takes `Type` for `type`.
    return not (isinstance(value, dict) and any(name != name.casefold() for name in value))


def error_of(refusal: Refusal) -> dict[str, Any]:
    """The `error` of OpenAI's error shape."""
    error: dict[str, Any] = msgspec.json.decode(openai_error(refusal))["error"]
    return error
