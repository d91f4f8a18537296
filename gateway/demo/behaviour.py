"""What the built-in model does under which model name. Decides nothing about wire formats."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

Fault = Literal["", "hang", "hang_midway", "cut", "reset", "garbage", "garbage_midway", "error_midway", "early_close"]


@dataclass(slots=True, frozen=True)
class Behaviour:
    """How one request is answered. The default is a plain answer."""

    tools: bool = False
    reasoning: bool = False
    usage: bool = True
    words: int = 0
    """At least as many words in the answer; 0 is as many as it takes."""
    error: int = 0
    """Answer with this status and the API's error shape instead."""
    flaky: bool = False
    """The same with 429, but only for an SDK's first try."""
    fault: Fault = ""
    coding: str = ""
    """`content-encoding`, if the request accepts it."""
    http10: bool = False
    close: bool = False
    html: bool = False
    odd_headers: bool = False
    delay_s: float = 0.0
    """Before each streamed event, and before a whole answer."""


class Word(NamedTuple):
    """One word after `demo-`, and what it changes."""

    says: str
    changes: Mapping[str, Any]


WORDS: Mapping[str, Word] = {
    "tools": Word("calls the first tool of the request; answers once it has the result", {"tools": True}),
    "reasoning": Word("thinks before it answers, and reports the tokens of it", {"reasoning": True}),
    "no-usage": Word("leaves token usage out", {"usage": False}),
    "long": Word("answers with 2,000 words", {"words": 2000}),
    "slow": Word("waits 100 ms before each event", {"delay_s": 0.1}),
    "flaky": Word("429 on an SDK's first try, an answer on its retry", {"flaky": True}),
    "error-in-stream": Word("an error event after the third event; 500 where not streamed", {"fault": "error_midway"}),
    "hang": Word("never answers", {"fault": "hang"}),
    "hang-mid-stream": Word("falls silent after the third event, or half a body", {"fault": "hang_midway"}),
    "cut-mid-body": Word("closes after half a body, or the third event", {"fault": "cut"}),
    "cut-mid-stream": Word("the same", {"fault": "cut"}),
    "reset-mid-stream": Word("the same, by a TCP reset", {"fault": "reset"}),
    "garbage": Word("answers with bytes that are not HTTP", {"fault": "garbage"}),
    "garbage-mid-stream": Word("breaks the chunked framing after the third event", {"fault": "garbage_midway"}),
    "early-close": Word("closes without a byte of answer", {"fault": "early_close"}),
    "gzip": Word("content-encoding: gzip", {"coding": "gzip"}),
    "br": Word("content-encoding: br", {"coding": "br"}),
    "zstd": Word("content-encoding: zstd", {"coding": "zstd"}),
    "deflate": Word("content-encoding: deflate (zlib format)", {"coding": "deflate"}),
    "http10": Word("an HTTP/1.0 answer, ended by the connection's end", {"http10": True}),
    "close": Word("answers, says `connection: close` and closes", {"close": True}),
    "html": Word("200 with an HTML page, as a captive portal would", {"html": True}),
    "headers": Word("adds repeated, oddly cased, empty and non-ASCII response headers", {"odd_headers": True}),
}
ERRORS = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)
_ERROR = re.compile(r"error-(\d{3})")
_SLOW = re.compile(r"slow-(\d{1,5})ms")
_LONG = re.compile(r"long-(\d{1,6})")


def behaviour_of(model: str) -> Behaviour:
    """The behaviour this model name asks for. Raises LookupError for a `demo-…` that is not known.

    Words combine with `+`: `demo-tools+slow`. A name that does not begin with `demo` answers plainly.
    """
    if not model.startswith("demo-"):
        return Behaviour()
    behaviour = Behaviour()
    for word in model.removeprefix("demo-").split("+"):
        behaviour = replace(behaviour, **_changes(word))
    return behaviour


def model_names() -> tuple[str, ...]:
    """Every name, for `GET /v1/models`."""
    return ("demo", *(f"demo-{word}" for word in WORDS), *(f"demo-error-{status}" for status in ERRORS))


def _changes(word: str) -> Mapping[str, Any]:
    if known := WORDS.get(word):
        return known.changes
    if (match := _ERROR.fullmatch(word)) and int(match[1]) in ERRORS:
        return {"error": int(match[1])}
    if match := _SLOW.fullmatch(word):
        return {"delay_s": int(match[1]) / 1000}
    if match := _LONG.fullmatch(word):
        return {"words": int(match[1])}
    raise LookupError(word)
