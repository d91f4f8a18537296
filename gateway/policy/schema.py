"""Policy files: what a user may write, and every mistake at once with file, path and remedy. Judges no traffic."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.model.verdict import INTENTS, AgentRole, Direction, Intent, Risk
from gateway.policy import conditions
from gateway.policy.case import Case
from gateway.policy.detectors.entities import ENTITIES
from gateway.policy.detectors.known import DetectorConfig, detector_type, found_by_entry_point
from gateway.policy.detectors.patterns import checked_pattern, keyword_shape, pattern_shape
from gateway.policy.detectors.secrets import SECRETS
from gateway.policy.detectors.services import ServicesConfig
from gateway.policy.detectors.shape import Shape, Watch
from gateway.policy.detectors.tools import ToolsConfig
from gateway.policy.detectors.usage import UsageConfig
from gateway.policy.problems import Problem, problems_of, suggestion
from gateway.policy.workspaces import AgentsOf
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


def _workspaces(written: object) -> object:
    """Said here, because pydantic's words for a union help nobody."""
    written = _listed(written)
    if not isinstance(written, list | dict) or not all(isinstance(name, str) for name in written):
        raise ValueError("is neither a list of workspaces nor a map; write [research], or {research: disabled}")
    for name in written:
        if not _NAME.fullmatch(name):
            raise ValueError("has what is not a name; use up to 64 letters, digits, `_`, `.` and `-`")
    if isinstance(written, dict) and not all(word in get_args(AgentsOf) for word in written.values()):
        raise ValueError(f"has what is no word for agents; use {', '.join(get_args(AgentsOf))}")
    return written


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
            raise ValueError(f"is no known {kind}; {suggestion(written, names)}, or use `patterns`")
        return written

    return check


Name = Annotated[str, AfterValidator(_name)]
_Pattern = Annotated[str, AfterValidator(checked_pattern)]
_Keyword = Annotated[str, Field(max_length=200), AfterValidator(_keyword)]
_Entity = Annotated[str, AfterValidator(_known(ENTITIES, "entity")), Field(json_schema_extra={"enum": [*ENTITIES]})]
_SECRETS = {"all": SECRETS["jwt"], **SECRETS}
_Secret = Annotated[str, AfterValidator(_known(_SECRETS, "secret")), Field(json_schema_extra={"enum": [*_SECRETS]})]


class Detect(ConfigModel):
    """What one category looks with. Other keys belong to detectors that are found by entry point."""

    model_config = ConfigDict(extra="allow")

    patterns: Annotated[tuple[_Pattern, ...], BeforeValidator(_listed)] = ()
    keywords: Annotated[tuple[_Keyword, ...], BeforeValidator(_listed)] = ()
    entities: Annotated[tuple[_Entity, ...], BeforeValidator(_listed)] = ()
    secrets: Annotated[tuple[_Secret, ...], BeforeValidator(_listed)] = ()
    tools: ToolsConfig | None = None
    usage: UsageConfig | None = None
    services: ServicesConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _others_are_known(cls, written: Any) -> Any:
        """Each against its own class, as if it stood here as a field."""
        if not isinstance(written, dict):
            return written
        others = {key: value for key, value in written.items() if key not in cls.model_fields}
        return {**written, **{key: _other_detector(str(key), value) for key, value in others.items()}}

    @model_validator(mode="after")
    def _looks_with_something(self) -> Self:
        if not (self.patterns or self.keywords or self.entities or self.secrets or self.detectors()):
            raise ValueError(
                "looks with nothing; give it patterns, keywords, entities, secrets, tools, usage or services"
            )
        return self

    def detectors(self) -> dict[str, DetectorConfig]:
        """By key: those that are no shapes."""
        built_in = {"tools": self.tools, "usage": self.usage, "services": self.services}
        found = {key: config for key, config in built_in.items() if config is not None}
        return {**found, **(self.model_extra or {})}

    def shapes(self) -> Iterator[Shape]:
        yield from (pattern_shape(number, written) for number, written in enumerate(self.patterns))
        yield from (keyword_shape(number, written) for number, written in enumerate(self.keywords))
        yield from (ENTITIES[name] for name in self.entities)
        yield from SECRETS.values() if "all" in self.secrets else (SECRETS[name] for name in self.secrets)


def _other_detector(name: str, written: object) -> DetectorConfig:
    try:
        found = detector_type(name)
    except ValueError as error:
        raise _at([((name,), str(error))]) from error
    if found is None:
        known = {**Detect.model_fields, **found_by_entry_point()}
        raise _at([((name,), f"is no known detector; {suggestion(name, known)}")])
    try:
        return found.model_validate(written)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        lines = [((name, *path), remedy) for detail in details for path, remedy in problems_of(detail, found)]
        raise _at(lines) from None


def _at(lines: Sequence[Problem]) -> PydanticCustomError:
    """Several mistakes, each with its own path."""
    return PydanticCustomError("lines", "see lines", {"lines": [*lines]})


class Escalation(ConfigModel):
    mode: Literal["notify", "hold"] = "notify"
    """Whether an escalated exchange goes on, or waits for a person."""
    timeout: PositiveDuration = 60.0
    then: Literal["block", "allow"] = "block"
    """What becomes of it where nobody decides in time."""

    @model_validator(mode="after")
    def _waits_only_where_held(self) -> Self:
        if self.mode == "notify" and self.model_fields_set & {"timeout", "then"}:
            raise ValueError("nobody is waited for; write `mode: hold`, or leave `timeout` and `then` out")
        return self


_Assessed = Annotated[
    Direction, _refused("tool calls and events are not assessed yet; use `inlet` or `response`", "signal")
]
_ByDirection = dict[Direction, Intent]


class AgentFile(ConfigModel):
    """One policy file."""

    agent: Name
    role: AgentRole
    directions: Annotated[tuple[_Assessed, ...], BeforeValidator(_listed), Field(min_length=1)] = ("inlet",)
    when: Annotated[str, Field(max_length=4_000), AfterValidator(conditions.checked)] | None = None
    """CEL over the facts of docs/policies.md; where it is false the agent does not look."""
    workspaces: Annotated[tuple[Name, ...] | dict[Name, AgentsOf], BeforeValidator(_workspaces)] = ()
    """A list: the agent is these workspaces' own. A map: what it is to each, where the configuration says otherwise."""
    detect: Annotated[dict[Name, Detect], Field(min_length=1)]
    intent: Intent | dict[str, Intent | _ByDirection] = "flag"
    critical: Annotated[tuple[Name, ...], BeforeValidator(_listed)] = ()
    """Categories whose block becomes an escalation: a person is to decide."""
    instructions: str = Field(default="", max_length=20_000)
    """For detectors that read instructions; those built in do not."""
    risk: Risk = "medium"
    tags: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    message: str = Field(default="", max_length=1_000)
    inlet: Literal["wait", "parallel"] = "wait"
    """Whether the upstream waits for an enforcer too, or only the client does."""
    response: Literal["after", "window", "hold"] = "after"
    """Whether an enforcer sees an answer after the client got it, window by window before, or all of it before."""
    escalation: Escalation = Escalation()
    timeout: PositiveDuration | None = None
    """Left out: the policy processor's."""
    on_error: Literal["allow", "block"] | None = None
    """Left out: the policy processor's."""
    shadow: bool = False
    cases: tuple[Case, ...] = ()

    @field_validator("critical")
    @classmethod
    def _critical_is_a_category(cls, written: tuple[str, ...], read: ValidationInfo) -> tuple[str, ...]:
        categories = list(read.data.get("detect", ()))
        for category in written if categories else ():
            if category not in categories:
                raise ValueError(f"{category} is not a category of `detect`; use {', '.join(categories)}")
        return written

    @field_validator("intent", mode="before")
    @classmethod
    def _intents_spelled_well(cls, written: object, read: ValidationInfo) -> object:
        problems = list(_intent_problems(written, read.data))
        if problems:
            raise _at(problems)
        return written

    @model_validator(mode="after")
    def _takes_out_in_time(self) -> Self:
        if self.role == "enforcer" and self.inlet == "parallel" and "inlet" in self.directions:
            if self.escalation.mode == "hold":
                raise ValueError(
                    "cannot hold a request that has left; use `inlet: wait`, or `escalation: {mode: notify}`"
                )
            wishes = [self.wish(category, "inlet") for category in self.detect]
            if "redact" in wishes:
                raise ValueError("cannot take anything out of a request that has left; use `inlet: wait`")
        return self

    def wish(self, category: str, direction: Direction) -> Intent:
        """What the agent wants where it found this category."""
        wishes = self.intent if isinstance(self.intent, str) else self.intent[category]
        wish = wishes if isinstance(wishes, str) else wishes[direction]
        return "escalate" if wish == "block" and category in self.critical else wish

    def watches(self) -> tuple[Watch, ...]:
        return tuple(Watch(category, shape) for category, detect in self.detect.items() for shape in detect.shapes())


def _intent_problems(intents: object, read: Mapping[str, Any]) -> Iterator[Problem]:
    """All that is wrong with `intent`, each with its path: pydantic's own words for a union help nobody."""
    if isinstance(intents, dict):
        yield from _category_problems(intents, list(read.get("detect", ())), read.get("directions", ()))
    else:
        yield from _word_problem(intents, ("intent",))


def _category_problems(
    intents: Mapping[Any, Any], categories: Sequence[str], directions: Sequence[Direction]
) -> Iterator[Problem]:
    for category, wishes in intents.items():
        path = ("intent", str(category))
        if categories and category not in categories:
            yield path, f"is not a category of `detect`; use {', '.join(categories)}"
        if not isinstance(wishes, dict):
            yield from _word_problem(wishes, path)
            continue
        for direction, word in wishes.items():
            if direction not in DIRECTIONS:
                yield (*path, str(direction)), f"is not a direction; use {', '.join(DIRECTIONS)}"
            yield from _word_problem(word, (*path, str(direction)))
        for direction in directions:
            if direction not in wishes:
                yield path, f"does not say what to do in direction {direction}; add `{direction}: allow` or another"
    for category in categories:
        if category not in intents:
            yield ("intent",), f"does not say what to do about {category}; add `{category}: flag` or another"


def _word_problem(word: object, path: tuple[str, ...]) -> Iterator[Problem]:
    if word not in INTENTS:
        yield path, f"is not an intent; use one of {', '.join(INTENTS)}"
