"""Which services may be used at all: providers, models, wire formats, by which clients. A gatekeeper's rule."""

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from gateway.contracts import Detector, Finding, Sight
from gateway.policy.detectors.globs import Globs, Names
from gateway.policy.detectors.known import DetectorConfig
from gateway.units import ConfigModel

_FACTS = {
    "provider": "provider",
    "model": "model",
    "api": "request.api",
    "service": "service",
    "origin": "origin",
}

_REMEMBERED = 1_000


class ServiceRule(ConfigModel):
    """A service: all that is written must fit, each by one of its names."""

    provider: Globs = ()
    model: Globs = ()
    api: Globs = ()
    service: Globs = ()
    origin: Globs = ()
    instead: str = Field(default="", max_length=200)
    """An approved alternative, for the refused user."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(getattr(self, key) for key in _FACTS):
            raise ValueError(f"fits every service; give it {', '.join(_FACTS)}")
        return self


class ServicesConfig(DetectorConfig):
    """`detect: {…: {services: …}}`."""

    default: Literal["allow", "deny"] = "allow"
    exceptions: tuple[ServiceRule, ...] = Field(default=(), max_length=1_000)
    """Services that it is the other way round for."""
    instead: str = Field(default="", max_length=200)
    """As a rule's own, where no rule fits."""

    def detector(self, instructions: str) -> Detector:
        return Services(self)


class Services(Detector):
    def __init__(self, config: ServicesConfig) -> None:
        self._denies = config.default == "deny"
        self._rules = [
            (tuple((_FACTS[key], Names(getattr(rule, key))) for key in _FACTS if getattr(rule, key)), rule.instead)
            for rule in config.exceptions
        ]
        self._facts = tuple(dict.fromkeys(fact for names, _ in self._rules for fact, _ in names))
        self._known: dict[tuple[str, ...], Sequence[Finding]] = {}
        """By what the rules ask for: services repeat with every call."""
        self._denied = (Finding("service:denied", advice=_advice(config.instead)),)

    def findings(self, sight: Sight) -> Sequence[Finding]:
        said = tuple([str(sight.fact(fact)) for fact in self._facts])
        found = self._known.get(said)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[said] = self._judged(dict(zip(self._facts, said, strict=True)))
        return found

    def _judged(self, said: Mapping[str, str]) -> Sequence[Finding]:
        for names, instead in self._rules:
            if all(said[fact] in allowed for fact, allowed in names):
                if self._denies:
                    return ()
                return (Finding("service:denied", advice=_advice(instead)),) if instead else self._denied
        return self._denied if self._denies else ()


def _advice(instead: str) -> str:
    return f"Use {instead} instead." if instead else ""
