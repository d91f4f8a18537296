"""Every component of a configuration against its own config class, and the service section. Starts nothing."""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import ValidationError

from gateway.config.schema import (
    KINDS,
    ComponentType,
    Kind,
    Path,
    PipelineConfig,
    Registry,
    Report,
    ServiceConfig,
    Tree,
    Value,
    WorkspaceConfig,
    choices,
    type_of,
)
from gateway.config.wording import sentence
from gateway.units import ConfigModel

_ID = re.compile(r"[a-zA-Z][0-9a-zA-Z_]{0,62}(/[^\s/\x00-\x1f]{1,1024})?")
_SECTIONS = [*KINDS, "workspaces", "service"]
_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

Model = TypeVar("Model", bound=ConfigModel)
Hide = Callable[[str], str]
"""Takes out of a text what came from outside the configuration."""


class Components:
    """What validated, by kind and id; and what was written at all, so that one mistake is not reported as two."""

    def __init__(self, tree: Tree, registry: Registry, report: Report, hide: Hide) -> None:
        self._report = report
        self._hide = hide
        self.valid: dict[Kind, dict[str, ConfigModel]] = {}
        self.written: dict[Kind, list[str]] = {}
        self._refuse_unknown_sections(tree)
        for kind in KINDS:
            section = self._section(tree, kind)
            self.written[kind] = list(section)
            self.valid[kind] = self._checked(kind, section, registry.get(kind, {}))
        self.workspaces = self._workspaces(tree)
        self.service = self._model(ServiceConfig, tree.get("service"), ("service",))
        self.joints = self.service or _joints(tree.get("service"))
        """Of the service section what can be read, so that a wrong log level does not hide a wrong reference."""

    def _refuse_unknown_sections(self, tree: Tree) -> None:
        for name in tree:
            if name not in _SECTIONS:
                self._report.error((name,), f"unknown key; {choices(name, _SECTIONS)}")

    def _workspaces(self, tree: Tree) -> dict[str, WorkspaceConfig]:
        valid: dict[str, WorkspaceConfig] = {}
        for name, written in self._section(tree, "workspaces").items():
            if not _WORKSPACE.fullmatch(name):
                text = "is not a name; use up to 64 letters, digits, `_`, `.` and `-`"
                self._report.error(("workspaces", name), text)
            elif (config := self._model(WorkspaceConfig, written, ("workspaces", name))) is not None:
                valid[name] = config
        return valid

    def _section(self, tree: Tree, kind: str) -> Tree:
        section = tree.get(kind)
        if section is None:
            return {}
        if not isinstance(section, dict):
            self._report.error((kind,), f"is not a map; write the {kind} by name, each with its settings below it")
            return {}
        return section

    def _checked(self, kind: Kind, section: Tree, known: Mapping[str, ComponentType]) -> dict[str, ConfigModel]:
        valid: dict[str, ConfigModel] = {}
        for component_id, written in section.items():
            path = (kind, component_id)
            name = type_of(component_id)
            if name not in known:
                self._report.error(path, f'unknown type "{name}"; {choices(name, sorted(known))}')
            elif not _ID.fullmatch(component_id):
                self._report.error(path, "is not a component id; write type or type/name, without spaces")
            else:
                config = self._model(known[name].config, written, path)
                if config is not None:
                    valid[component_id] = config
        return valid

    def _model(self, model: type[Model], written: object, path: Path) -> Model | None:
        try:
            return model.model_validate(written)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                where, text = sentence(detail, model)
                self._report.error((*path, *where), self._hide(text))
            return None


def _joints(written: Value) -> ServiceConfig:
    service = written if isinstance(written, dict) else {}
    pipelines = service.get("pipelines")
    return ServiceConfig(
        extensions=_readable(service.get("extensions")),
        pipelines={
            name: PipelineConfig(
                receivers=_readable(pipeline.get("receivers")),
                processors=_readable(pipeline.get("processors")),
                exporters=_readable(pipeline.get("exporters")),
            )
            for name, pipeline in (pipelines.items() if isinstance(pipelines, dict) else ())
            if isinstance(pipeline, dict)
        },
    )


def _readable(members: Value) -> tuple[str, ...]:
    return tuple(member for member in members if isinstance(member, str)) if isinstance(members, list) else ()
