"""Requests that came behind a running exchange and wait for their turn. Bounded; read no further than that."""

from gateway.model.exchange import Headers
from gateway.proxy.handler import RequestHead

PILE_BYTES = 64 * 1024
"""What may be read behind a running exchange."""
PENDING_LIMIT = 32


class Pending:
    """A pipelined request: its head, and what has come of its body."""

    __slots__ = ("complete", "head", "keep_alive", "pieces", "size", "trailers")

    def __init__(self, head: RequestHead) -> None:
        self.head = head
        self.pieces: list[bytes] = []
        self.size = 0
        self.trailers: Headers | None = None
        self.complete = False
        self.keep_alive = True
