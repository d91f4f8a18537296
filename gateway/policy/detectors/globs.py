"""Names with wildcards, as users write them: `gpt-4*`, `mcp__*__delete_*`. In any letters, linear."""

import re
from collections.abc import Sequence
from fnmatch import translate
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_LONGEST = 256


def _listed(written: object) -> object:
    return [written] if isinstance(written, str) else written


def _glob(written: str) -> str:
    if not written.strip() or len(written) > _LONGEST:
        raise ValueError(f"is no name; write one of up to {_LONGEST} characters, `*` for anything")
    return written


Glob = Annotated[str, AfterValidator(_glob)]
Globs = Annotated[tuple[Glob, ...], BeforeValidator(_listed)]


class Names:
    """A set of globs as one expression."""

    def __init__(self, globs: Sequence[str]) -> None:
        each = [translate(glob.casefold()) for glob in globs]
        self._expression = re.compile("|".join(each)) if each else None

    def __bool__(self) -> bool:
        return self._expression is not None

    def __contains__(self, name: str) -> bool:
        return self._expression is not None and self._expression.match(name[:_LONGEST].casefold()) is not None
