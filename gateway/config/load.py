"""YAML files and `--set` overrides → one `Config`, or every error at once. Starts nothing."""

from collections.abc import Mapping, Sequence

from gateway.config.components import Components
from gateway.config.expand import Expansion
from gateway.config.merge import merged, override
from gateway.config.pipelines import check_together
from gateway.config.schema import Config, Registry, Report, Tree, type_of
from gateway.config.source import Source, file_source, tree_of
from gateway.units import ConfigModel


def load(
    registry: Registry, files: Sequence[str | Source], overrides: Sequence[str], environment: Mapping[str, str]
) -> Config:
    """What these files say together, later ones over earlier ones, overrides last.

    `files` are paths, or texts with a name (`defaults.embedded`). Paths inside a configuration are relative to the
    working directory, as the Collector's are. Raises `ConfigErrors`.
    """
    report = Report()
    tree = _tree(files, overrides, report)
    expansion = Expansion(environment, report)
    components = Components(expansion.expanded(tree), registry, report, expansion.hidden)
    check_together(components, registry, report)
    report.stop_if_wrong()
    if components.service is None:
        raise AssertionError("a service section that is not valid must have been reported")
    return Config(
        **components.valid,
        service=components.service,
        workspaces=components.workspaces,
        warnings=tuple(report.warnings),
    )


def load_extension(
    registry: Registry,
    wanted: str,
    files: Sequence[str | Source],
    overrides: Sequence[str],
    environment: Mapping[str, str],
) -> ConfigModel | None:
    """The extension of this type that the service names, if there is one; no other component is imported or checked.

    For commands that need no more, in a shell without the gateway's keys. Raises `ConfigErrors`.
    """
    report = Report()
    tree = _tree(files, overrides, report)
    expansion = Expansion(environment, report)
    part: Tree = {name: said for name, said in tree.items() if name in ("extensions", "service")}
    written = part.get("extensions")
    if isinstance(written, dict):
        part["extensions"] = {name: settings for name, settings in written.items() if type_of(name) == wanted}
    components = Components(expansion.expanded(part), registry, report, expansion.hidden)
    report.stop_if_wrong()
    valid = components.valid["extensions"]
    return next((valid[name] for name in components.joints.extensions if name in valid), None)


def _tree(files: Sequence[str | Source], overrides: Sequence[str], report: Report) -> Tree:
    sources = [file if isinstance(file, Source) else file_source(file, report) for file in files]
    trees = [tree_of(source, report) for source in sources if source is not None]
    tree = merged([*trees, *(override(text, report) for text in overrides)])
    report.stop_if_wrong()  # half of the text would give errors that nobody made
    return tree
