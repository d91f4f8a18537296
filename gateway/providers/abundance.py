"""Whether JSON has more values in it than anybody means to say: each costs far more than its bytes. No I/O."""

import re

MOST_VALUES = 50_000
"""In one body or one event of a stream; to understand as many takes up to 0.3 s."""
MOST_VALUES_ANSWERED = 100_000
"""In a whole answer, numbers apart: a long one with its tokens' log probabilities has as many."""
MOST_EVENTS = 200_000
"""Of one answer. What is captured by default has room for no more events of any API."""
_LOOKED_AT = 256 * 1024
"""Bytes; what is shorter has not enough room for harm, and nearly everything is."""
_STRING_OR_COMMA = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|,', re.DOTALL)

_STRING_OR_OTHER_COMMA = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|,(?![ \t\r\n]*+-?\d)', re.DOTALL)
"""Not the commas before numbers."""


def has_too_many_values(data: bytes, numbers: bool = True, most: int = MOST_VALUES) -> bool:
    """For any bytes. Linear, at the speed of a search: values stand between commas that are in no string.

    `numbers`: they count as well; vectors are many of them, which cost their bytes.
    """
    if len(data) < _LOOKED_AT or data.count(b",") < most:
        return False
    commas = 0
    for found in (_STRING_OR_COMMA if numbers else _STRING_OR_OTHER_COMMA).finditer(data):
        if found[0] == b",":
            commas += 1
            if commas >= most:
                return True
    return False
