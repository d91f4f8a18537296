"""Whether a client has left from which nothing is read at the moment: its end lies behind bytes that wait."""

import asyncio
import select

_LEFT = getattr(select, "POLLRDHUP", 0)
"""Linux has it; elsewhere such a client is noticed at the next deadline."""


def left_unread(transport: asyncio.Transport) -> bool:
    """Asks the system, so not for every event; False where reading goes on, which notices it by itself."""
    if not _LEFT or transport.is_reading() or transport.is_closing():
        return False
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), _LEFT)
    return bool(poll.poll(0))
