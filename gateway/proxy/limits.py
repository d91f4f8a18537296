"""The relay's bounds and deadlines. Data only."""

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    header: int = 64 * 1024
    body: int = 64 * 1024 * 1024
    capture: int = 8 * 1024 * 1024
    """Per direction; a request is held whole up to this size before it goes upstream, a bigger one streams through."""
    unfinished: int = 512 * 1024 * 1024
    """Kept of all request bodies together that are not whole yet."""
    linger: int = 256 * 1024 * 1024
    """What is read and dropped of the rest of a refused request; for what comes then nobody is listening."""
    connections: int = 10_000
    idle_upstreams: int = 512
    """Kept connections per origin."""
    header_s: float = 10.0
    """From a request's first byte to the end of its head."""
    request_s: float = 300.0
    """From the end of the head to the end of the body."""
    keep_alive_s: float = 75.0
    """Between two requests of a client."""
    write_s: float = 60.0
    """How long a client may take nothing while there is something for it."""
    connect_s: float = 10.0
    first_byte_s: float = 600.0
    idle_s: float = 300.0
    """Between two pieces of a response."""
    ping_s: float = 5.0
    """How long the client of a held stream hears nothing before it is told that somebody is there."""
    websocket_idle_s: float = 3600.0
    """A WebSocket on which nothing passes, either way."""
    upstream_keep_alive_s: float = 55.0
    linger_s: float = 2.0
    """How long the rest of a refused request is read and dropped, so that the client can read why."""
