"""Which well-formed requests must not be relayed all the same. Pure."""

from gateway.model.exchange import Refusal
from gateway.proxy.handler import RequestHead
from gateway.proxy.headers import repeats_framing

LONGEST_LENGTH = 20
"""Digits of a 64-bit number."""


def unacceptable(head: RequestHead) -> Refusal | None:
    """SECURITY: a message whose end an upstream could see elsewhere must not be relayed."""
    fields = head.header_map
    if len(fields) != len(head.headers) and repeats_framing(head.headers):
        return Refusal(400, "bad_request", "Content-Length, Transfer-Encoding or Host stands there more than once.")
    if len(fields.get(b"content-length", b"")) > LONGEST_LENGTH:
        return Refusal(400, "bad_request", "Content-Length has too many digits; send it without leading zeros.")
    if head.chunked and fields[b"transfer-encoding"].lower() != b"chunked":
        return Refusal(501, "bad_request", "Transfer-Encoding may only be 'chunked'.")
    if head.chunked and (head.content_length is not None or head.http_minor == 0):
        return Refusal(400, "bad_request", "Content-Length and Transfer-Encoding exclude each other; send one.")
    if head.http_minor == 1 and b"host" not in fields:
        return Refusal(400, "bad_request", "An HTTP/1.1 request needs a Host header.")
    if head.method == "CONNECT":
        return Refusal(400, "bad_request", "The gateway is no forward proxy: use it as the base URL of your client.")
    if fields.get(b"upgrade", b"").lower() == b"websocket":
        return Refusal(
            426, "upgrade_unavailable", "WebSocket is not relayed by this version; use the same API over HTTP."
        )
    return None
