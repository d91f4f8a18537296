"""What the built-in model needs of a wire format. Data and a protocol, nothing that acts."""

from dataclasses import dataclass
from typing import Protocol

from gateway.demo.conversation import Ask, Reply

Headers = tuple[tuple[str, str], ...]
SSE = "text/event-stream; charset=utf-8"


@dataclass(slots=True, frozen=True)
class Problem:
    """An answer that is an error."""

    status: int
    message: str
    type: str = ""
    """The API's own type; "" is the usual one for the status."""
    code: str | None = None
    param: str | None = None


class BadRequestError(ValueError):
    """The request is not this API's; the message says what is wrong with it."""


class Dialect(Protocol):
    """One API. Pure: the same arguments give the same bytes."""

    @property
    def stream_type(self) -> str:
        """The content type of its streams."""

    def read(self, body: bytes, seed: str) -> Ask:
        """Understand a request body. Raises BadRequestError."""

    def answer(self, ask: Ask, reply: Reply, usage: bool) -> bytes: ...

    def events(self, ask: Ask, reply: Reply, usage: bool) -> list[bytes]:
        """The same answer as a stream's events, each whole."""

    def error(self, problem: Problem, seed: str) -> bytes: ...

    def error_event(self, problem: Problem, seed: str) -> bytes: ...

    def headers(self, seed: str) -> Headers:
        """What this provider sends beside `content-type`."""
