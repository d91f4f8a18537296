"""What a WebSocket's handshake carries upstream, beside the headers of any request. Pure."""

import re

from gateway.model.exchange import Headers, Refusal
from gateway.receivers.header_keys import carries_gateway_key

_UPGRADE: Headers = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
_EXTENSIONS = b"sec-websocket-extensions"
_PROTOCOLS = b"sec-websocket-protocol"
_KEY = re.compile(rb"(?:api[-_]?key|bearer|authorization|token)\.", re.IGNORECASE)
"""How browsers, which cannot set headers, hand a key over: `openai-insecure-api-key.<key>`, `bearer.<key>`."""

NOT_UNDERSTOOD = Refusal(
    426,
    "upgrade_unavailable",
    "A policy agent must read requests before they go upstream, and what is said on this WebSocket is not understood "
    "by this version. Use the same API over HTTP.",
)


def handshake_headers(forward: Headers, inline: bool, holds_key: bool) -> Headers:
    """`forward`: the end-to-end headers; `inline`: a client's messages may have to be kept back; `holds_key`: the
    gateway's key goes, so no other one does.

    With permessage-deflate each message may build on all before it: one that is kept back would break those behind it,
    so that nothing of the kind is offered where that can happen.
    """
    headers: Headers = []
    for name, value in forward:
        lower = name.lower()
        if lower == _EXTENSIONS and inline:
            continue
        if lower == _PROTOCOLS:
            value = _without_keys(value, holds_key)
            if not value:
                continue
        headers.append((name, value))
    return headers + _UPGRADE


def _without_keys(protocols: bytes, holds_key: bool) -> bytes:
    """SECURITY: as in other slots, a gateway key never leaves; nor does a client's beside ours."""
    if not (carries_gateway_key(protocols) or (holds_key and _KEY.search(protocols))):
        return protocols
    offers = [offer.strip() for offer in protocols.split(b",")]
    return b", ".join(
        offer for offer in offers if not (carries_gateway_key(offer) or (holds_key and _KEY.search(offer)))
    )
