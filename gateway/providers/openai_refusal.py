"""The gateway's refusals in OpenAI's error shape, which the generic API speaks too."""

import msgspec

from gateway.model.exchange import Refusal

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def openai_error(refusal: Refusal) -> bytes:
    """SDKs choose their exception by the status; the type follows it, the code is ours."""
    kind = _TYPES.get(refusal.status, "server_error" if refusal.status >= 500 else "invalid_request_error")
    error = {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}
    return msgspec.json.encode({"error": error})


def openai_error_event(refusal: Refusal) -> bytes:
    return b"data: " + openai_error(refusal) + b"\n\n"
