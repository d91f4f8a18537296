"""What a path of Bedrock's runtime says: the model, which may be an ARN, and what is asked of it. No I/O."""

import re
from urllib.parse import unquote

from gateway.model.message import RequestReading

_PATH = re.compile(r"/model/(.+)/(converse|converse-stream|invoke|invoke-with-response-stream|count-tokens)/?")
_STREAMS = frozenset({"converse-stream", "invoke-with-response-stream"})


def asked_at(path: str, *operations: str) -> bool:
    match = _PATH.fullmatch(path)
    return match is not None and match[2] in operations


def add_path(reading: RequestReading, target: str) -> None:
    """Model and streaming: the body has neither."""
    match = _PATH.fullmatch(target.partition("?")[0])
    if match is not None:
        reading.model = unquote(match[1], errors="replace")
        reading.stream = match[2] in _STREAMS
