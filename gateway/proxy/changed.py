"""What a request's head must say, or no longer say, where its body is not the client's any more."""

from gateway.model.exchange import Headers, Refusal

_OF_THE_BODY = frozenset({b"content-encoding", b"content-digest", b"content-md5", b"digest", b"repr-digest"})
_SIGNED = frozenset({b"signature", b"x-amz-content-sha256"})
_LENGTH = b"content-length"


def headers_for(body: bytes, forward: Headers) -> Headers:
    """For a body that is not compressed; what hashed the other one is gone."""
    length = b"%d" % len(body)
    return [
        (name, length if name.lower() == _LENGTH else value)
        for name, value in forward
        if name.lower() not in _OF_THE_BODY
    ]


def is_sealed(forward: Headers) -> bool:
    """Whether the client has signed the body, and its signature goes on: only what it sent is valid."""
    return any(
        name.lower() in _SIGNED or (name.lower() == b"authorization" and value[:5].upper() == b"AWS4-")
        for name, value in forward
    )


def unchangeable() -> Refusal:
    return Refusal(
        403,
        "blocked_by_policy",
        "A policy agent wants something taken out of this request, and the client has signed its body. Remove it and "
        "try again, or have the gateway sign in the client's place (receivers::llm::providers, aws).",
    )
