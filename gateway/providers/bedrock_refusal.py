"""The gateway's refusals in AWS's error shape, for the `rest-json` protocol.

AWS names the error in the header `x-amzn-errortype`; the protocol lets a body say it in `__type` instead, which every
AWS SDK reads. `code` is not ours to use: SDKs would take it for the error's name.
"""

import msgspec

from gateway.model.exchange import Refusal
from gateway.providers.eventstream import encoded

_TYPES = {
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    502: "ServiceUnavailableException",
    503: "ServiceUnavailableException",
    504: "ServiceUnavailableException",
}


def aws_error(refusal: Refusal) -> bytes:
    kind = _TYPES.get(refusal.status, "InternalServerException" if refusal.status >= 500 else "ValidationException")
    return msgspec.json.encode({"__type": kind, "message": refusal.message})


def aws_exception_frame(refusal: Refusal) -> bytes:
    """A frame's exception must be one that the stream's model has; for what is not, SDKs lose the message."""
    if refusal.status == 429:
        kind = "throttlingException"
    elif refusal.status >= 500:
        kind = "serviceUnavailableException" if refusal.status in _TYPES else "internalServerException"
    else:
        kind = "validationException"
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return encoded(headers, msgspec.json.encode({"message": refusal.message}))
