"""THE list of built-in component types: what may stand in a configuration, and what for. Imports none of them."""

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

from gateway.units import ConfigModel


class Component(NamedTuple):
    """One type. Its module is imported when a configuration uses it: `validate` should not wait for an HTTP client."""

    where: str
    """`module:ConfigClass`, as in an entry point."""
    about: str
    inline: bool = False
    """The client waits for it; one pipeline a receiver."""
    needs: str = ""
    """The type of extension that must run beside it."""

    @property
    def config(self) -> type[ConfigModel]:
        module, _, name = self.where.partition(":")
        found = getattr(import_module(module), name)
        if not (isinstance(found, type) and issubclass(found, ConfigModel)):
            raise TypeError(f"{self.where} is not a ConfigModel")
        return found


_OTLP_HTTP = "gateway.exporters.otlp_http:OtlpHttpConfig"

REGISTRY: Mapping[str, Mapping[str, Component]] = {
    "extensions": {
        "health_check": Component("gateway.console.config:HealthCheckConfig", "answers whether the gateway is ready"),
        "console": Component(
            "gateway.console.config:ConsoleConfig", "pages and REST API over the store", needs="storage"
        ),
        "storage": Component("gateway.store.config:StorageConfig", "where exchanges are kept, and for how long"),
        "session_state": Component("gateway.state.config:SessionStateConfig", "where running sessions are remembered"),
    },
    "receivers": {
        "llm": Component(
            "gateway.receivers.llm_config:LlmConfig", "the proxy that LLM clients point their base URL at"
        ),
    },
    "processors": {
        "session": Component("gateway.processors.session:SessionConfig", "finds each call's session and speaker", True),
        "cost": Component("gateway.processors.cost:CostConfig", "works out what each call cost, by your prices"),
        "policy": Component("gateway.processors.policy:PolicyConfig", "lets policy agents review each call", True),
    },
    "exporters": {
        "store": Component(
            "gateway.exporters.store:StoreConfig",
            "keeps exchanges for the console (storage extension)",
            needs="storage",
        ),
        "otlp_http": Component(_OTLP_HTTP, "sends spans to an OTLP/HTTP endpoint"),
        "otlphttp": Component(_OTLP_HTTP, "the former name of otlp_http"),
        "debug": Component("gateway.exporters.debug:DebugConfig", "writes spans, without content, to the log"),
        "nop": Component("gateway.exporters.nop:NopConfig", "takes spans and drops them"),
    },
}


def detectors() -> Mapping[str, Component]:
    """What may stand in a policy file's `detect` beside patterns: built in, and found by entry point."""
    from gateway.policy.detectors.known import BUILT_IN, found_by_entry_point

    found = {name: Component(where, f"found: {where}") for name, where in found_by_entry_point().items()}
    return {name: Component(where, about) for name, (where, about) in BUILT_IN.items()} | found


def describe(registry: Mapping[str, Mapping[str, Component]]) -> str:
    """A table for people: each type and what it is for."""
    width = max(len(name) for types in registry.values() for name in types)
    sections = [
        "\n".join([kind, *(f"  {name:<{width}}  {component.about}" for name, component in types.items())])
        for kind, types in registry.items()
    ]
    return "\n\n".join(sections)
