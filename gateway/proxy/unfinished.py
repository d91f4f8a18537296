"""What a worker keeps of request bodies that are not whole yet: bounded for all of its clients together. No I/O."""

FREE = 16 * 1024
"""Bytes that there is always room for: a few slow clients with much must not keep out all others with little."""


class UnfinishedBodies:
    """Each of them is bounded too (`Limits.capture`), but ten thousand slow clients would add up."""

    __slots__ = ("kept", "limit", "refused")

    def __init__(self, limit: int) -> None:
        """`limit` in bytes."""
        self.limit = limit
        self.kept = 0
        self.refused = 0

    def weigh(self, before: int, now: int) -> bool:
        """A body of which `before` bytes were kept has grown to `now`, or is gone (0); False: there is no room."""
        self.kept += now - before
        if self.kept <= self.limit or now <= before or now <= FREE:
            return True
        self.refused += 1
        return False
