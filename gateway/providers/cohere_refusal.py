"""The gateway's refusals in the error shape of Cohere's API, which has neither types nor codes."""

import msgspec

from gateway.model.exchange import Refusal


def cohere_error(refusal: Refusal) -> bytes:
    """The SDK chooses its exception by the status."""
    return msgspec.json.encode({"message": refusal.message})


def cohere_error_event(refusal: Refusal) -> bytes:
    """An answer that ends in an error, as the API ends one that fails midway."""
    delta = {"finish_reason": "ERROR", "error": refusal.message}
    return b"event: message-end\ndata: " + msgspec.json.encode({"type": "message-end", "delta": delta}) + b"\n\n"
