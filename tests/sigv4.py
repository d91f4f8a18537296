"""Whether a request that arrived was signed by this key: recomputed by botocore's own signer."""

import re
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from gateway.demo.connection import Received

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=(\w{64})"
)


def scope_of(request: Received) -> tuple[str, str, str]:
    """Key, region and service that it says it is signed for."""
    match = _AUTHORIZATION.fullmatch(request.header("authorization") or "")
    assert match is not None, request.header("authorization")
    return match[1], match[3], match[4]


def is_signed_with(secret: str, request: Received, body: bytes | None = None) -> bool:
    """`body`: another than the one that came."""
    match = _AUTHORIZATION.fullmatch(request.header("authorization") or "")
    assert match is not None, request.header("authorization")
    key, _, region, service, signed, signature = match.groups()
    names = signed.split(";")
    assert {"host", "x-amz-date"} <= set(names)
    recomputed: Any = AWSRequest(
        request.method, f"http://{request.header('host')}{request.target}", data=request.body if body is None else body
    )
    for name, value in request.headers:
        if name.decode().lower() in names:
            recomputed.headers[name.decode()] = value.decode()
    recomputed.context["timestamp"] = request.header("x-amz-date")
    signer = SigV4Auth(ReadOnlyCredentials(key, secret, None), service, region)
    canonical = signer.canonical_request(recomputed)
    return bool(signer.signature(signer.string_to_sign(recomputed, canonical), recomputed) == signature)
