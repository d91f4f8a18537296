"""The error type inside an API's error object. Never the message: it may quote the conversation."""

import re
from collections.abc import Mapping

_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_OTHER = "_OTHER"
"""The conventions' `error.type` where nothing of low cardinality is known."""


def error_type_of(error: object) -> str:
    """The type of an `error` field's value, else its code; `_OTHER` where neither is a plain word.

    A number only where there is no word: Google says `RESOURCE_EXHAUSTED` beside its 429.
    """
    if isinstance(error, dict):
        said = [error.get(field) for field in ("type", "code", "status")]
        for word in (*said, *(str(value) for value in said if type(value) is int)):
            if isinstance(word, str) and _WORD.fullmatch(word):
                return word
    return _OTHER


def error_type_in(headers: Mapping[bytes, bytes]) -> str | None:
    """AWS says in a header what others say in the body; behind a colon stands where it is documented."""
    said = headers.get(b"x-amzn-errortype")
    return error_type_of({"type": said.decode("latin-1").partition(":")[0]}) if said is not None else None
