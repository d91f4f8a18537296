"""How many wrong tokens an address may show before it has to wait. Keeps addresses and counts, no tokens; no I/O."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil

WRONG_MAX = 10
WINDOW_S = 300.0
_MAX_ADDRESSES = 1000


class TooManyAttemptsError(Exception):
    """This address must wait before its next token is looked at, right or wrong."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            "too many wrong tokens came from your address; "
            f"wait {wait_s} seconds, then try again, or use another address"
        )
        self.wait_s = wait_s


@dataclass(slots=True)
class _Window:
    until_s: float
    wrong: int = 0


class Attempts:
    """A window begins with an address's first wrong token and ends after its time, however many come in between."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self.forgotten = 0
        """Windows that made room for others before their time."""

    def __len__(self) -> int:
        return len(self._windows)

    def check(self, address: str) -> None:
        """Raises TooManyAttemptsError."""
        window = self._running(_counted_as(address))
        if window is not None and window.wrong >= WRONG_MAX:
            raise TooManyAttemptsError(ceil(window.until_s - self._clock()))

    def wrong(self, address: str) -> None:
        key = _counted_as(address)
        window = self._running(key)
        if window is None:
            window = self._windows[key] = _Window(self._clock() + WINDOW_S)
            self._make_room()
        window.wrong += 1

    def right(self, address: str) -> None:
        self._windows.pop(_counted_as(address), None)

    def _running(self, key: str) -> _Window | None:
        window = self._windows.get(key)
        if window is not None and window.until_s <= self._clock():
            del self._windows[key]
            return None
        return window

    def _make_room(self) -> None:
        """Windows stand in the order of their ends, as all last equally long."""
        if len(self._windows) > _MAX_ADDRESSES:
            _, oldest = self._windows.popitem(last=False)
            self.forgotten += oldest.until_s > self._clock()


def _counted_as(address: str) -> str:
    """An IPv6 address counts as its /64: that is what one subscriber is given, so many addresses are still one."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
