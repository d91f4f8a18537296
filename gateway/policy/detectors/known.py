"""Detectors that are no patterns, by their key in `detect`: built in, or found by the entry point `spangate.detectors`.

An entry point names a `DetectorConfig`: what a policy file may write below the key, and the detector it makes.
"""

from abc import abstractmethod
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from gateway.contracts import Detector
from gateway.units import ConfigModel

ENTRY_POINT = "spangate.detectors"

BUILT_IN: Mapping[str, tuple[str, str]] = {
    "tools": ("gateway.policy.detectors.tools:ToolsConfig", "tool calls: names, arguments, repetition"),
    "usage": ("gateway.policy.detectors.usage:UsageConfig", "requests, tokens and cost over time, by whom they are of"),
    "services": ("gateway.policy.detectors.services:ServicesConfig", "which providers, models and clients are welcome"),
}
"""Where the class is, as in an entry point, and what it is for."""


class DetectorConfig(ConfigModel):
    """What a policy file says of one category's detector."""

    @abstractmethod
    def detector(self, instructions: str) -> Detector:
        """A new one; `instructions` are the agent's. Raises ValueError with the remedy where it cannot be made."""


def detector_type(name: str) -> type[DetectorConfig] | None:
    """None where nobody brings such a detector. Raises ValueError where somebody does, and it cannot be loaded."""
    if name in BUILT_IN:
        return _loaded(name, BUILT_IN[name][0])
    where = found_by_entry_point().get(name)
    return _loaded(name, where) if where is not None else None


@cache
def found_by_entry_point() -> Mapping[str, str]:
    """`module:Class` by name; the built-in ones cannot be replaced."""
    return {each.name: each.value for each in entry_points(group=ENTRY_POINT) if each.name not in BUILT_IN}


def _loaded(name: str, where: str) -> type[DetectorConfig]:
    module, _, attribute = where.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # somebody else's code: whatever it raises is said once, with the remedy
        reason = f"{where} cannot be loaded ({type(error).__name__}); mend or uninstall what brings `{name}`"
        raise ValueError(reason) from error
    if not (isinstance(found, type) and issubclass(found, DetectorConfig)):
        raise ValueError(f"{where} is no DetectorConfig; mend or uninstall what brings `{name}`")
    return found
