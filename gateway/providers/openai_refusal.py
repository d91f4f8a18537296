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


def responses_error_event(refusal: Refusal) -> bytes:
    """Responses' own event: its SDK has no exception for it, so `error` has both forms that clients look for."""
    kind = _TYPES.get(refusal.status, "server_error" if refusal.status >= 500 else "invalid_request_error")
    said = {"message": refusal.message, "param": None, "code": refusal.code}
    event = {"type": "error", "sequence_number": 0, **said, "error": {"type": kind, **said}}
    return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"


class RefusesAsOpenAI:
    """The two refusals of a `Provider` where an API has no error event of its own."""

    def refusal(self, refusal: Refusal) -> bytes:
        return openai_error(refusal)

    def stream_refusal(self, refusal: Refusal, content_type: str = "", first: bool = False) -> bytes:
        """The official SDK raises at the error; clients that wait for the end of the stream find it too."""
        return openai_error_event(refusal) + b"data: [DONE]\n\n"
