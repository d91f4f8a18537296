"""Policy files: what a user may write, and every mistake at once with file, path and remedy. Judges no traffic."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, cast, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from gateway.model.verdict import INTENTS, AgentRole, Direction, Intent, Outcome, Risk
from gateway.policy.detectors.entities import ENTITIES
from gateway.policy.detectors.patterns import checked_pattern, keyword_shape, pattern_shape
from gateway.policy.detectors.secrets import SECRETS
from gateway.policy.detectors.shape import Shape, Watch
from gateway.units import ConfigModel, PositiveDuration

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _refused(remedy: str, value: str | None = None) -> BeforeValidator:
    """Says no to what later versions will know: to any value, or to this one."""

    def refuse(written: object) -> object:
        if value is None or written == value:
            raise ValueError(remedy)
        return written

    return BeforeValidator(refuse)


def _listed(written: object) -> object:
    return [written] if isinstance(written, str) else written


def _name(written: str) -> str:
    if not _NAME.fullmatch(written):
        raise ValueError("is not a name; use up to 64 letters, digits, `_`, `.` and `-`")
    return written


def _keyword(written: str) -> str:
    if not written.strip():
        raise ValueError("is empty; write a word or a phrase")
    return written


def _known(names: Mapping[str, Shape], kind: str) -> Callable[[str], str]:
    def check(written: str) -> str:
        if written not in names:
            raise ValueError(f"is no known {kind}; {_suggestion(written, names)}, or use `patterns`")
        return written

    return check


def _suggestion(written: str, names: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(written, names, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"use one of {', '.join(sorted(names))}"


Name = Annotated[str, AfterValidator(_name)]
_Pattern = Annotated[str, AfterValidator(checked_pattern)]
_Keyword = Annotated[str, Field(max_length=200), AfterValidator(_keyword)]
_Entity = Annotated[str, AfterValidator(_known(ENTITIES, "entity"))]
_Secret = Annotated[str, AfterValidator(_known({**SECRETS, "all": SECRETS["jwt"]}, "secret"))]


class Detect(ConfigModel):
    """What one category looks with."""

    patterns: Annotated[tuple[_Pattern, ...], BeforeValidator(_listed)] = ()
    keywords: Annotated[tuple[_Keyword, ...], BeforeValidator(_listed)] = ()
    entities: Annotated[tuple[_Entity, ...], BeforeValidator(_listed)] = ()
    secrets: Annotated[tuple[_Secret, ...], BeforeValidator(_listed)] = ()

    @model_validator(mode="after")
    def _looks_with_something(self) -> Self:
        if not (self.patterns or self.keywords or self.entities or self.secrets):
            raise ValueError("looks with nothing; give it patterns, keywords, entities or secrets")
        return self

    def shapes(self) -> Iterator[Shape]:
        yield from (pattern_shape(number, written) for number, written in enumerate(self.patterns))
        yield from (keyword_shape(number, written) for number, written in enumerate(self.keywords))
        yield from (ENTITIES[name] for name in self.entities)
        yield from SECRETS.values() if "all" in self.secrets else (SECRETS[name] for name in self.secrets)


class Case(ConfigModel):
    """A test that the agent brings with it."""

    say: str
    expect: Outcome
    direction: Direction | None = None
    """Left out: the first of the agent's directions."""


class Escalation(ConfigModel):
    mode: Annotated[
        Literal["notify"],
        _refused("holding traffic for a person is not supported yet; use `mode: notify` or `intent: block`", "hold"),
    ] = "notify"
    timeout: Annotated[None, _refused("belongs to `mode: hold`, not supported yet; leave it out")] = None
    then: Annotated[None, _refused("belongs to `mode: hold`, not supported yet; leave it out")] = None


_Assessed = Annotated[
    Direction, _refused("tool calls and events are not assessed yet; use `inlet` or `response`", "signal")
]
_ByDirection = dict[Direction, Intent]
_NO_WINDOW = "the response is assessed after it was relayed so far; use `response: after`, or block on the inlet"


class AgentFile(ConfigModel):
    """One policy file."""

    agent: Name
    role: AgentRole
    directions: Annotated[tuple[_Assessed, ...], BeforeValidator(_listed), Field(min_length=1)] = ("inlet",)
    detect: Annotated[dict[Name, Detect], Field(min_length=1)]
    intent: Intent | dict[str, Intent | _ByDirection] = "flag"
    risk: Risk = "medium"
    tags: tuple[str, ...] = ()
    message: str = Field(default="", max_length=1_000)
    inlet: Annotated[
        Literal["wait"],
        _refused("assessing beside the upstream call is not supported yet; use `inlet: wait`", "parallel"),
    ] = "wait"
    response: Annotated[Literal["after"], _refused(_NO_WINDOW, "window"), _refused(_NO_WINDOW, "hold")] = "after"
    escalation: Escalation = Escalation()
    timeout: PositiveDuration | None = None
    """Left out: the policy processor's."""
    on_error: Literal["allow", "block"] | None = None
    """Left out: the policy processor's."""
    shadow: bool = False
    cases: tuple[Case, ...] = ()
    when: Annotated[
        None, _refused("conditions are not supported yet; leave `when` out and keep the agent's rules narrow")
    ] = None
    critical: Annotated[None, _refused("is not supported yet; give the category `escalate` under `intent` instead")] = (
        None
    )

    @field_validator("intent", mode="before")
    @classmethod
    def _intents_spelled_well(cls, written: object, read: ValidationInfo) -> object:
        problems = list(_intent_problems(written, read.data))
        if problems:
            raise PydanticCustomError("intents", "see lines", {"lines": problems})
        return written

    def wish(self, category: str, direction: Direction) -> Intent:
        """What the agent wants where it found this category."""
        wishes = self.intent if isinstance(self.intent, str) else self.intent[category]
        return wishes if isinstance(wishes, str) else wishes[direction]

    def watches(self) -> tuple[Watch, ...]:
        return tuple(Watch(category, shape) for category, detect in self.detect.items() for shape in detect.shapes())


Problem = tuple[tuple[str, ...], str]
"""Path, and what is wrong there with its remedy."""


def _intent_problems(intents: object, read: Mapping[str, Any]) -> Iterator[Problem]:
    """All that is wrong with `intent`, each with its path: pydantic's own words for a union help nobody."""
    enforcer = read.get("role") == "enforcer"
    if isinstance(intents, dict):
        yield from _category_problems(intents, list(read.get("detect", ())), read.get("directions", ()), enforcer)
    else:
        yield from _word_problem(intents, ("intent",), enforcer)


def _category_problems(
    intents: Mapping[Any, Any], categories: Sequence[str], directions: Sequence[Direction], enforcer: bool
) -> Iterator[Problem]:
    for category, wishes in intents.items():
        path = ("intent", str(category))
        if categories and category not in categories:
            yield path, f"is not a category of `detect`; use {', '.join(categories)}"
        if not isinstance(wishes, dict):
            yield from _word_problem(wishes, path, enforcer)
            continue
        for direction, word in wishes.items():
            if direction not in DIRECTIONS:
                yield (*path, str(direction)), f"is not a direction; use {', '.join(DIRECTIONS)}"
            yield from _word_problem(word, (*path, str(direction)), enforcer)
        for direction in directions:
            if direction not in wishes:
                yield path, f"does not say what to do in direction {direction}; add `{direction}: allow` or another"
    for category in categories:
        if category not in intents:
            yield ("intent",), f"does not say what to do about {category}; add `{category}: flag` or another"


def _word_problem(word: object, path: tuple[str, ...], enforcer: bool) -> Iterator[Problem]:
    if word not in INTENTS:
        yield path, f"is not an intent; use one of {', '.join(INTENTS)}"
    elif word == "redact" and enforcer:
        yield path, "redacting traffic is not supported yet; use `block` or `flag`, or make the agent an observer"


def problems_of(error: ErrorDetails) -> Iterator[Problem]:
    """A pydantic error in our words: path and remedy; never the value that was written."""
    path = tuple(str(step) for step in error["loc"])
    context = error.get("ctx", {})
    match error["type"]:
        case "intents":
            yield from cast(list[Problem], context["lines"])
        case "missing":
            yield path, "is missing; add it"
        case "extra_forbidden":
            known = Detect if path[:1] == ("detect",) else Case if path[:1] == ("cases",) else AgentFile
            yield path, f"is not a known key; {_suggestion(path[-1], known.model_fields)}"
        case "value_error":
            yield path, str(context["error"])
        case "literal_error":
            yield path, f"must be {context['expected']}"
        case "string_type":
            yield path, "must be text; put it in quotes"
        case _:
            yield path, f"{error['msg'][:1].lower()}{error['msg'][1:]}; see the policy files' section of the README"
