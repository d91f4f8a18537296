"""The README's first example, as a reader would copy it.

Convention: the comment `<!-- first example -->`, then a ```python block that speaks to the embedded default's address.
A test runs it unchanged but for that address.
"""

import re
from pathlib import Path

ADDRESS = "http://127.0.0.1:4000"
_README = Path(__file__).parents[2] / "README.md"
_EXAMPLE = re.compile(r"<!-- first example -->\s*```python\n(.*?)```", re.DOTALL)


def first_example(gateway_url: str) -> str:
    """The example's code, pointed at this gateway."""
    found = _EXAMPLE.search(_README.read_text(encoding="utf-8"))
    assert found, "README.md has no ```python block right after `<!-- first example -->`"
    assert ADDRESS in found[1], f"the README's first example does not speak to {ADDRESS}"
    return found[1].replace(ADDRESS, gateway_url)
