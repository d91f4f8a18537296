"""A request's head as it was received, and which well-formed ones must not be relayed all the same. Pure."""

import httptools

from gateway.model.exchange import Headers, Refusal
from gateway.proxy.handler import RequestHead
from gateway.proxy.headers import by_name, repeats_framing, without_authority
from gateway.proxy.upgrades import asks_websocket, half_a_handshake

_LONGEST_LENGTH = 20
"""Digits of a 64-bit number."""
_OTHER = -1
_MINORS = {"1.1": 1, "1.0": 0}
_OF_OTHER_PROTOCOLS = frozenset(
    {"ANNOUNCE", "DESCRIBE", "FLUSH", "GET_PARAMETER", "PAUSE", "PLAY", "PRI", "RECORD", "REDIRECT", "SET_PARAMETER"}
    | {"SETUP", "SOURCE", "TEARDOWN"}
)
"""RTSP's and ICE's, which llhttp understands, too."""


def received_head(
    parser: httptools.HttpRequestParser, target: bytes, headers: Headers, client_address: str, opened_ns: int
) -> RequestHead:
    fields = by_name(headers)
    length = fields.get(b"content-length")
    return RequestHead(
        method=parser.get_method().decode(),
        target=without_authority(target),
        headers=headers,
        header_map=fields,
        http_minor=_MINORS.get(parser.get_http_version(), _OTHER),
        client_address=client_address,
        content_length=int(length) if length is not None and len(length) <= _LONGEST_LENGTH else None,
        chunked=b"transfer-encoding" in fields,
        opened_ns=opened_ns,
    )


def unacceptable(head: RequestHead, pipelined: bool) -> Refusal | None:
    """SECURITY: a message whose end an upstream could see elsewhere must not be relayed."""
    fields = head.header_map
    if head.http_minor == _OTHER:
        return Refusal(505, "bad_request", "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if len(fields) != len(head.headers) and repeats_framing(head.headers):
        return Refusal(
            400,
            "bad_request",
            "Content-Length, Transfer-Encoding, Content-Type or Host stands there more than once; send each once.",
        )
    if len(fields.get(b"content-length", b"")) > _LONGEST_LENGTH:
        return Refusal(400, "bad_request", "Content-Length has too many digits; send it without leading zeros.")
    if head.chunked and fields[b"transfer-encoding"].lower() != b"chunked":
        return Refusal(501, "bad_request", "Transfer-Encoding may only be 'chunked'.")
    if head.chunked and (head.content_length is not None or head.http_minor == 0):
        return Refusal(400, "bad_request", "Content-Length and Transfer-Encoding exclude each other; send one.")
    if head.http_minor == 1 and b"host" not in fields:
        return Refusal(400, "bad_request", "An HTTP/1.1 request needs a Host header.")
    if head.method in _OF_OTHER_PROTOCOLS:
        return Refusal(501, "bad_request", f"{head.method} is no method of HTTP.")
    if head.method == "CONNECT":
        return Refusal(400, "bad_request", "The gateway is no forward proxy: use it as the base URL of your client.")
    return half_a_handshake(head, pipelined) if asks_websocket(fields) else None
