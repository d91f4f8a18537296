"""Native bodies that nobody's API explains, as text: media in them by size and hash. No I/O."""

import re
from hashlib import sha256

import msgspec

from gateway.model.message import Entry, Message, Text
from gateway.providers.known import entry_of

_MEDIA = re.compile(r'"(?:data:[^",]{0,100},)?(?=[A-Za-z0-9+/=_\\-]{1000})((?:[A-Za-z0-9+/=_-]++|\\/)++)"')
"""So long a string without a space is no language: an image, a film, a document. Short ones fail at one step."""


def without_media(text: str) -> str:
    return _MEDIA.sub(_named, text)


def stored_without_media(entry: Entry) -> Entry:
    """The same for agents, who see all of it; spans and store have what is left."""
    text = entry.texts[0]
    shown = without_media(text)
    if shown == text:
        return entry
    kept = entry_of(Message(entry.role, (Text(shown),)))
    return msgspec.structs.replace(kept, texts=entry.texts, notes={})


def _named(match: re.Match[str]) -> str:
    encoded = match[1].replace("\\/", "/").encode()
    return f'"<{len(encoded)} bytes of base64, sha256 {sha256(encoded).hexdigest()}>"'
