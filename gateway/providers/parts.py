"""Parts that several APIs have in common: media by data URL or address, tool arguments, parts of unknown kinds.

Bytes of images, audio and files never get into a part: size, type and hash stand for them.
"""

from binascii import a2b_base64
from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from gateway.model.message import Blob, Compaction, Other, Part, Text, Uri
from gateway.providers.lenient import check_names, text_or_none, value_of

_DEPTH_LIMIT = 100
OPAQUE = frozenset(
    {"encrypted_content", "encrypted_index", "encrypted_stdout", "signature", "cache_control"}
    | {"thoughtSignature", "thought_signature", "redactedContent"}
)
"""Fields that only the provider can read, and the caching mark that moves between turns."""


def media(modality: str, url: str) -> Blob | Uri:
    """A part for an address, which may be a `data:` URL (RFC 2397)."""
    if url[:5].lower() != "data:":
        return Uri(modality, url)
    header, _, payload = url[5:].partition(",")
    mime_type = header.partition(";")[0] or None
    if header.lower().endswith(";base64"):
        return blob(modality, payload, mime_type)
    return _blob_of(modality, unquote_to_bytes(payload), mime_type)


def blob(modality: str, encoded: str, mime_type: str | None) -> Blob:
    """A part for base64 content. What is no base64 has neither size nor hash."""
    try:
        # Padding is often left out; spare padding does no harm.
        return _blob_of(modality, a2b_base64(encoded.replace("-", "+").replace("_", "/") + "=="), mime_type)
    except ValueError:
        return Blob(modality, mime_type)


def _blob_of(modality: str, content: bytes, mime_type: str | None) -> Blob:
    return Blob(modality, mime_type, sha256(content).hexdigest(), len(content))


def unknown(kind: object, content: Any) -> Other:
    """A part of a kind this version does not know, its bytes left out."""
    return Other(kind if isinstance(kind, str) else "", without_bytes(shallow(content)))


def without_bytes(value: Any) -> Any:
    """A copy in which `data:` URLs and base64 sources are replaced by size, type and hash."""
    if isinstance(value, str):
        return media("", value) if value[:5].lower() == "data:" and ";base64," in value[:200] else value
    if isinstance(value, list):
        return [without_bytes(item) for item in value]
    if isinstance(value, dict):
        if value.get("type") == "base64" and isinstance(value.get("data"), str):
            return blob("", value["data"], text_or_none(value.get("media_type")))
        if len(value) == 1 and isinstance(value.get("bytes"), str):  # Bedrock's
            return blob("", value["bytes"], None)
        return {key: without_bytes(item) for key, item in value.items() if key not in OPAQUE}
    return value


def arguments_of(value: Any) -> Any:
    """A tool's arguments: the object that a JSON string holds, else the value as it came (half a string stays one).

    A string that parsers may read differently stays one, too.
    """
    if not isinstance(value, str):
        return shallow(value)
    try:
        parsed = value_of(value)
        check_names(value, parsed)
    except (ValueError, RecursionError):
        return value
    return parsed if isinstance(parsed, dict) and not _deep(parsed, _DEPTH_LIMIT) else value


def shallow(value: Any) -> Any:
    """The value, or its JSON as text where it is nested so deeply that later readers could run out of stack."""
    return msgspec.json.encode(value).decode() if _deep(value, _DEPTH_LIMIT) else value


def _deep(value: Any, limit: int) -> bool:
    if isinstance(value, dict):
        return limit == 0 or any(_deep(item, limit - 1) for item in value.values())
    if isinstance(value, list):
        return limit == 0 or any(_deep(item, limit - 1) for item in value)
    return False


def went_on(parts: Sequence[Part]) -> bool:
    """Whether the model, in this very answer, compacted the conversation and spoke on from there."""
    return any(isinstance(part, Compaction) for part in parts[:-1]) and not isinstance(parts[-1], Compaction)


def result_of(parts: tuple[Part, ...]) -> Any:
    """A tool's result given in parts: one string where all are text, else the parts."""
    texts = [part.content for part in parts if isinstance(part, Text)]
    return "\n".join(texts) if len(texts) == len(parts) else list(parts)
