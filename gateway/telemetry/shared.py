"""Attributes that many spans have in common, built once for all of them. No I/O; keeps nothing long."""

from collections.abc import Callable
from typing import TypeVarTuple

from gateway.model.span import Attribute, Block

_GENERATION = 512
"""Blocks remembered before those that were not asked for since are on their way out."""
_MEMORABLE_CHARACTERS = 1024
"""A model's name and a URL's path are the client's word: a megabyte of them must not be remembered."""
_LEAST = 16
"""Characters' worth of one more text in a list."""

Values = TypeVarTuple("Values")


def remembered(attributes: Callable[[*Values], tuple[Attribute, ...]]) -> Callable[[*Values], Block]:
    """`attributes(*values)` as a block, the same one for the same values.

    Each value is always of one type: 1, 1.0 and True are the same here.
    """
    recent: dict[tuple[*Values], Block] = {}
    earlier: dict[tuple[*Values], Block] = {}

    def block(*values: *Values) -> Block:
        nonlocal recent, earlier
        found = recent.get(values)
        if found is not None:
            return found
        found = earlier.get(values) or Block(attributes(*values))
        if _characters(found) <= _MEMORABLE_CHARACTERS:
            if len(recent) >= _GENERATION:
                recent, earlier = {}, recent
            recent[values] = found
        return found

    return block


def _characters(block: Block) -> int:
    """Of all texts: what the block and its key may hold much of. An empty one takes room too."""
    values = [value for _, value in block.attributes]
    texts = [value for value in values if isinstance(value, str)]
    lists = [item for value in values if isinstance(value, tuple) for item in value]
    return sum(map(len, texts)) + sum(map(len, lists)) + _LEAST * len(lists)
