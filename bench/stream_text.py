"""What a paced stream says: the same bytes for the same stream and event, wherever they are made or checked. No I/O."""

EVENTS_HEADER = b"x-bench-events"
PACE_HEADER = b"x-bench-pace-ms"
STREAM_HEADER = b"x-bench-stream"


def event(stream: int, number: int) -> bytes:
    """One chat completion chunk as a Server-Sent Event."""
    return (
        b'data: {"id":"chatcmpl-stream-%06d","object":"chat.completion.chunk","created":1764000000,'
        b'"model":"gpt-4o-mini-2024-07-18","system_fingerprint":"fp_0123456789",'
        b'"choices":[{"index":0,"delta":{"content":" token-%06d-%05d"},"logprobs":null,"finish_reason":null}]}\n\n'
        % (stream, stream, number)
    )


def ending(stream: int) -> bytes:
    """The last chunk, and the mark that there is no other."""
    return (
        b'data: {"id":"chatcmpl-stream-%06d","object":"chat.completion.chunk","created":1764000000,'
        b'"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        b"data: [DONE]\n\n" % stream
    )


def whole(stream: int, events: int) -> bytes:
    return b"".join(event(stream, number) for number in range(events)) + ending(stream)
