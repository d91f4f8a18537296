"""What the gateway itself answers instead of an upstream: which rule, why, what to do. Never shows content."""

import time

import httptools

from gateway.model.exchange import End, Exchange, Refusal
from gateway.proxy.handler import Handler, RequestHead

_REASONS = {
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    408: b"Request Timeout",
    410: b"Gone",
    413: b"Content Too Large",
    426: b"Upgrade Required",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


_PROXY_FAILURES = {
    "proxy_unreachable": "could not be reached",
    "proxy_timeout": "did not open a tunnel in time",
    "proxy_refused": "refused to open a tunnel; it must allow CONNECT to this upstream's host and port",
    "proxy_unauthorized": "wants other credentials; put them in its URL, as in http://user:password@proxy:3128",
    "proxy_closed": "hung up when it was asked for a tunnel",
    "proxy_bad_response": "answered what is not HTTP when it was asked for a tunnel",
}


def refusal_answer(
    handler: Handler, exchange: Exchange | None, refusal: Refusal, keep_alive: bool, head_request: bool
) -> bytes:
    """A whole HTTP answer."""
    body = handler.refusal_body(exchange, refusal)
    own = handler.response_headers(exchange) if exchange is not None else b""
    retry = b"Retry-After: %d\r\n" % refusal.retry_after_s if refusal.retry_after_s is not None else b""
    if refusal.review:
        own += b"x-spangate-review: %b\r\n" % refusal.review.encode()
    return (
        b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%bx-spangate-code: %b\r\n%b%b\r\n%b"
        % (
            refusal.status,
            _REASONS.get(refusal.status, b""),
            len(body),
            own,
            refusal.code.encode(),
            retry,
            b"" if keep_alive else b"Connection: close\r\n",
            b"" if head_request else body,
        )
    )


def remembered_refusal(handler: Handler, head: RequestHead | None, refusal: Refusal) -> bytes:
    """A whole HTTP answer to what must not become a relayed exchange; it is remembered as one all the same."""
    exchange = handler.malformed(head, refusal)
    if exchange is not None:
        exchange.refusal = refusal
        exchange.status = refusal.status
        exchange.end = "refused"
        exchange.error_type = refusal.code
        exchange.ended_ns = time.perf_counter_ns()
    answer = refusal_answer(handler, exchange, refusal, False, head is not None and head.method == "HEAD")
    if exchange is not None:
        handler.end(exchange)
    return answer


def empty_answer(status: int, keep_alive: bool) -> bytes:
    """To who only asks whether somebody is there."""
    return b"HTTP/1.1 %d OK\r\nContent-Length: 0\r\n%b\r\n" % (status, b"" if keep_alive else b"Connection: close\r\n")


def too_large(limit: int) -> Refusal:
    return Refusal(
        413,
        "body_too_large",
        f"The request's body is larger than the gateway's limit of {limit} bytes. "
        "Send less, or raise receivers::llm::max_body in the gateway's configuration.",
    )


def too_many_unfinished(limit: int) -> Refusal:
    return Refusal(
        503,
        "overloaded",
        f"The gateway keeps as much of request bodies that are still on their way as it may ({limit} bytes). "
        "Try again soon; if it stays so, raise receivers::llm::max_unfinished in the gateway's configuration.",
        1,
    )


def unsignable(limit: int) -> Refusal:
    return Refusal(
        413,
        "body_too_large",
        f"The upstream's API has the whole body signed, and this one is larger than the {limit} bytes that the gateway "
        "keeps of a body. Send less, or raise receivers::llm::capture_max in the gateway's configuration.",
    )


def internal(error_type: str) -> Refusal:
    return Refusal(
        500,
        "internal_error",
        f"The gateway failed on this request ({error_type}). Please report it with the exchange's id.",
    )


def unavailable(end: End, error_type: str, provider: str, detail: str = "") -> Refusal:
    """`detail`: what else may be shown, such as the status that a forward proxy answered."""
    if error_type in _PROXY_FAILURES:
        status, code = (504, "upstream_timeout") if end == "timeout" else (502, "upstream_unreachable")
        return Refusal(
            status,
            code,
            f"The forward proxy in front of provider '{provider}' {_PROXY_FAILURES[error_type]} "
            f"({error_type}{': ' + detail if detail else ''}). It is named by HTTPS_PROXY, HTTP_PROXY and NO_PROXY in "
            "the gateway's environment, or by this provider's proxy in its configuration.",
        )
    if end == "timeout":
        return Refusal(
            504,
            "upstream_timeout",
            f"The upstream of provider '{provider}' did not answer in time ({error_type}). "
            "Try again, or raise receivers::llm::timeouts in the gateway's configuration.",
        )
    return Refusal(
        502,
        "upstream_unreachable",
        f"The upstream of provider '{provider}' could not be reached or broke off ({error_type}). "
        "Try again; if it stays so, check this provider's base_url in the gateway's configuration.",
    )


def bad_http(error: httptools.HttpParserError) -> Refusal:
    return Refusal(400, "bad_request", f"This is not an HTTP/1.1 request that can be relayed ({error}).")


def too_slow(what: str, limit_s: float) -> Refusal:
    return Refusal(408, "request_timeout", f"The request's {what} did not come within {limit_s:g} s.")


def header_too_large(limit: int) -> Refusal:
    return Refusal(
        431,
        "header_too_large",
        f"The request's head is larger than {limit} bytes. Send fewer or shorter headers.",
    )


def trailers_too_large() -> Refusal:
    return Refusal(431, "header_too_large", "The request's trailers are too large. Send fewer.")
