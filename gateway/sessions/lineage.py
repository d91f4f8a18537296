"""What an exchange has in common with the one it continues, as digests. Pure.

A chat request carries its history: who repeats a request and adds to it continues it.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b

from gateway.model.message import Entry

_RUNS = 4
"""How many turns of the model are looked back over."""


def scope_of(workspace: str, principal: str, secret: bytes) -> bytes:
    """SECURITY: 16 bytes, mixed into every digest: nobody finds, or aims at, what another principal said."""
    return blake2b(f"{workspace}\n{principal}".encode(), digest_size=16, key=secret).digest()


def whole(scope: bytes, ahead: Sequence[bytes], messages: Sequence[Entry]) -> bytes:
    """The request as it stands: `ahead` are the digests of instructions and tools."""
    digests = [*ahead, *[entry.digest for entry in messages]]
    return blake2b(b"".join([scope, b"whole", *digests]), digest_size=16).digest()


def earlier(messages: Sequence[Entry]) -> Iterator[int]:
    """How many messages the request that this one repeats may have had, the most likely first.

    All of them where it is sent again, else those ahead of the model's latest turns.
    """
    if messages:
        yield len(messages)
    starts = (index for index in range(len(messages) - 1, 0, -1) if _begins_turn(messages, index))
    yield from (start for start, _ in zip(starts, range(_RUNS), strict=False))


def _begins_turn(messages: Sequence[Entry], index: int) -> bool:
    return messages[index].role == "assistant" and messages[index - 1].role != "assistant"
