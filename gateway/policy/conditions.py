"""`when`: a CEL expression compiled once, evaluated in microseconds. The library is loaded with the first of them.

Every fact is declared with its type, so what can never be evaluated (syntax, unknown names, types that do not fit) is
an error at load, and only what a rule names is looked up.
"""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from gateway.contracts import Fact
from gateway.model import semconv as sc
from gateway.policy.facts import FACTS, Kind, unknown

_NAME = re.compile(r"[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*")
_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '([^']*)'")
_MOST_SHOWN = 3
_REMEMBERED = 256
_NEW_EACH_TIME = frozenset(
    {name for name, fact in FACTS.items() if fact.kind in ("int", "double", "timestamp")}
    | {sc.SESSION_ID, "request.path"}
)
"""Facts of which hardly any comes twice: a condition on them is evaluated each time."""


class ConditionError(Exception):
    """A condition could not be evaluated: a division by zero, a key that a map does not have, a broken expression."""


class Condition:
    """A pure function of facts: agents that say the same share one, and what repeats is evaluated once."""

    def __init__(self, expression: str) -> None:
        """Raises ValueError with what is wrong and the remedy."""
        try:
            self._program = _environment().compile(expression)
        except RuntimeError as error:
            raise ValueError(_problem(str(error))) from None
        result = self._program.return_type()
        if result.name() not in ("BOOL", "DYN"):
            raise ValueError(f"gives {result.name().lower()}, not true or false; compare it with something")
        self.names = tuple(_names_in(expression))
        """The facts it may ask for."""
        self._repeats = _NEW_EACH_TIME.isdisjoint(self.names)
        self._known: dict[tuple[object, ...], bool] = {}

    def holds(self, fact: Callable[[str], Fact]) -> bool:
        """Raises ConditionError."""
        values = [fact(name) for name in self.names]
        if not self._repeats:
            return self._evaluated(values)
        try:
            said = tuple([value or None for value in values])  # an empty map is as good as none
            known = self._known.get(said)
        except TypeError:  # a list or map with something in it
            return self._evaluated(values)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[said] = self._evaluated(values)
        return known

    def _evaluated(self, values: Sequence[Fact]) -> bool:
        result = self._program.eval(data=dict(zip(self.names, values, strict=True))).value()
        if result is True or result is False:
            return bool(result)
        raise ConditionError("it cannot be evaluated")  # what the library says of it may quote a value


@lru_cache(maxsize=1_024)
def compiled(expression: str) -> Condition:
    """Raises ValueError, as `Condition`."""
    return Condition(expression)


def checked(expression: str) -> str:
    """The same expression. Raises ValueError, as `Condition`."""
    compiled(expression)
    return expression


@lru_cache(maxsize=1)
def _environment() -> Any:
    from cel_expr_python import cel

    kinds: dict[Kind, Any] = {
        "string": cel.Type.STRING,
        "int": cel.Type.INT,
        "double": cel.Type.DOUBLE,
        "bool": cel.Type.BOOL,
        "timestamp": cel.Type.TIMESTAMP,
        "strings": cel.Type.List(cel.Type.STRING),
        "counts": cel.Type.Map(cel.Type.STRING, cel.Type.INT),
        "times": cel.Type.Map(cel.Type.STRING, cel.Type.TIMESTAMP),
    }
    return cel.NewEnv(variables={name: kinds[fact.kind] for name, fact in FACTS.items()})


def _names_in(expression: str) -> dict[str, None]:
    """Facts that it names; more than it needs where a string or a variable of its own reads like one."""
    found: dict[str, None] = {}
    for written in _NAME.findall(expression):
        steps = re.split(r"\s*\.\s*", written)
        names = [".".join(steps[:length]) for length in range(len(steps), 0, -1)]
        fact = next((name for name in names if name in FACTS), None)  # CEL, too, takes the longest
        if fact is not None:
            found[fact] = None
    return found


def _problem(said: str) -> str:
    """The library's words in ours: one line, each with its remedy."""
    problems = [_sentence(*error) for error in _ERROR.findall(said)] or ["is not CEL; see docs/policies.md"]
    more = len(problems) - _MOST_SHOWN
    return "; ".join(problems[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _sentence(line: str, column: str, text: str) -> str:
    at = f"line {line}, column {column}: "
    if undeclared := _UNDECLARED.search(text):
        name = undeclared[1]
        near = get_close_matches(name, FACTS, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(FACTS)}"
        return f"{at}{name} is no fact and no function of CEL's; {remedy}"
    if overload := _OVERLOAD.search(text):
        operator = overload[1].strip("_").replace("_", " ")
        return f"{at}{operator} is not possible between {overload[2]}; compare what is of one type"
    return f"{at}is not CEL; mend the expression"


def fits(kind: Kind, value: object) -> bool:
    """Whether a value that was written in YAML can stand for a fact of this kind."""
    like = unknown(kind)
    if kind == "double":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, bool) or kind == "bool":
        return isinstance(value, bool) and kind == "bool"
    if isinstance(like, list):
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if isinstance(like, dict):
        inner = int if kind == "counts" else type(unknown("timestamp"))
        return isinstance(value, dict) and all(isinstance(k, str) and type(v) is inner for k, v in value.items())
    return isinstance(value, type(like))
