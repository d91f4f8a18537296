"""What a configuration is once it was read: components, the service that joins them, and what was wrong. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Literal, Protocol, TypeVar

from pydantic import BeforeValidator, Field

from gateway.units import ConfigModel

Kind = Literal["extensions", "receivers", "processors", "exporters"]
KINDS: tuple[Kind, ...] = ("extensions", "receivers", "processors", "exporters")

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
"""What YAML can say."""
Tree = dict[str, Value]
Path = tuple[str, ...]


class ComponentType(Protocol):
    """What the loader must know of a component type; the registry has one for each."""

    @property
    def config(self) -> type[ConfigModel]:
        """Imported only when a configuration uses it."""

    @property
    def inline(self) -> bool:
        """Whether the client waits for it: such a processor may stand in one pipeline a receiver."""

    @property
    def needs(self) -> str:
        """The type of extension that must run beside it, "" for none."""


Registry = Mapping[str, Mapping[str, ComponentType]]
"""Types by kind and name."""


MAX_WORKERS = 256


def _workers(written: object) -> int | str:
    count = int(written) if isinstance(written, str) and written.isdecimal() else written
    if count == "auto" or (isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= MAX_WORKERS):
        return count
    raise ValueError(f"{written!r} is no number of workers; write 1 to {MAX_WORKERS}, or auto for one a core")


class LogsConfig(ConfigModel):
    level: Literal["debug", "info", "warn", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, else JSON."""


class TelemetryConfig(ConfigModel):
    logs: LogsConfig = Field(default_factory=LogsConfig)


class PipelineConfig(ConfigModel):
    receivers: tuple[str, ...] = ()
    processors: tuple[str, ...] = ()
    exporters: tuple[str, ...] = ()

    def of(self, kind: Kind) -> tuple[str, ...]:
        return {"receivers": self.receivers, "processors": self.processors, "exporters": self.exporters}.get(kind, ())


class WorkspaceConfig(ConfigModel):
    agents: Literal["inherited", "configurable", "disabled"] = "inherited"
    """What policy agents that name no workspace are to it; see docs/policies.md."""


class ServiceConfig(ConfigModel):
    workers: Annotated[int | Literal["auto"], BeforeValidator(_workers)] = 1
    """auto: one for each core that this process may use."""
    extensions: tuple[str, ...] = ()
    pipelines: dict[str, PipelineConfig] = Field(default_factory=dict)
    telemetry: TelemetryConfig = Field(default_factory=TelemetryConfig)


_Extension = TypeVar("_Extension", bound=ConfigModel)


@dataclass(slots=True, frozen=True)
class Config:
    """A configuration that holds together. Keys are component ids (`otlp_http/backup`), in the order written."""

    extensions: Mapping[str, ConfigModel]
    receivers: Mapping[str, ConfigModel]
    processors: Mapping[str, ConfigModel]
    exporters: Mapping[str, ConfigModel]
    service: ServiceConfig
    workspaces: Mapping[str, WorkspaceConfig] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def of(self, kind: Kind) -> Mapping[str, ConfigModel]:
        return {
            "extensions": self.extensions,
            "receivers": self.receivers,
            "processors": self.processors,
            "exporters": self.exporters,
        }[kind]

    def extension(self, model: type[_Extension]) -> _Extension | None:
        """The extension of this kind that the service names, if there is one."""
        active = (self.extensions[name] for name in self.service.extensions)
        return next((found for found in active if isinstance(found, model)), None)


class ConfigErrors(ValueError):  # noqa: N818 - it holds many
    """Everything that is wrong with a configuration, one line each: `path::to::key: what is wrong; remedy`."""

    def __init__(self, errors: list[str], warnings: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors
        self.warnings = warnings


@dataclass(slots=True)
class Report:
    """Collects what is wrong, so that a user reads it all at once."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, path: Path, text: str) -> None:
        self._once(self.errors, path, text)

    def warn(self, path: Path, text: str) -> None:
        self._once(self.warnings, path, text)

    def stop_if_wrong(self) -> None:
        if self.errors:
            raise ConfigErrors(self.errors, self.warnings)

    @staticmethod
    def _once(lines: list[str], path: Path, text: str) -> None:
        line = f"{'::'.join(path)}: {text}" if path else text
        if line not in lines:
            lines.append(line)


def choices(written: str, valid: list[str]) -> str:
    """The remedy for a name that is not one of `valid`."""
    near = get_close_matches(written, valid, n=1)
    return f"valid: {', '.join(valid) or 'none'}" + (f" (did you mean {near[0]}?)" if near else "")


def type_of(component_id: str) -> str:
    """`otlp_http/backup` → `otlp_http`."""
    return component_id.partition("/")[0]
