"""The README's first example, and how it starts coding agents, as a reader would copy them.

Convention: the comment `<!-- first example -->`, then a ```python block that speaks to the embedded default's address;
a ```sh block with an agent's command a line. Tests run them unchanged but for that address.
"""

import re
import shlex
from pathlib import Path

ADDRESS = "http://127.0.0.1:4000"
_README = Path(__file__).parents[2] / "README.md"
_EXAMPLE = re.compile(r"<!-- first example -->\s*```python\n(.*?)```", re.DOTALL)
_AGENTS = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def first_example(gateway_url: str) -> str:
    """The example's code, pointed at this gateway."""
    found = _EXAMPLE.search(_README.read_text(encoding="utf-8"))
    assert found, "README.md has no ```python block right after `<!-- first example -->`"
    assert ADDRESS in found[1], f"the README's first example does not speak to {ADDRESS}"
    return found[1].replace(ADDRESS, gateway_url)


def agent_command(name: str, gateway_url: str) -> tuple[dict[str, str], list[str]]:
    """The agent's settings for this gateway: variables of its environment, and its arguments."""
    found = _AGENTS.search(_README.read_text(encoding="utf-8"))
    assert found, "README.md has no ```sh block that starts coding agents"
    for line in found[1].splitlines():
        words = [word.replace(ADDRESS, gateway_url) for word in shlex.split(line)]
        if name in words:
            command = words.index(name)
            return dict(word.split("=", 1) for word in words[:command]), words[command + 1 :]
    raise AssertionError(f"README.md's ```sh block does not start {name}")
