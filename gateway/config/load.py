"""YAML files and `--set` overrides → one `Config`, or every error at once. Starts nothing."""

from collections.abc import Mapping, Sequence

from gateway.config.components import Components
from gateway.config.expand import Expansion
from gateway.config.merge import merged, override
from gateway.config.pipelines import check_together
from gateway.config.schema import Config, Registry, Report, Tree
from gateway.config.source import Source, file_source, tree_of


def load(
    registry: Registry, files: Sequence[str | Source], overrides: Sequence[str], environment: Mapping[str, str]
) -> Config:
    """What these files say together, later ones over earlier ones, overrides last.

    `files` are paths, or texts with a name (`defaults.embedded`). Paths inside a configuration are relative to the
    working directory, as the Collector's are. Raises `ConfigErrors`.
    """
    report = Report()
    tree = merged([*_trees(files, report), *(override(text, report) for text in overrides)])
    report.stop_if_wrong()  # half of the text would give errors that nobody made
    expansion = Expansion(environment, report)
    components = Components(expansion.expanded(tree), registry, report, expansion.hidden)
    check_together(components, registry, report)
    report.stop_if_wrong()
    if components.service is None:
        raise AssertionError("a service section that is not valid must have been reported")
    return Config(**components.valid, service=components.service, warnings=tuple(report.warnings))


def _trees(files: Sequence[str | Source], report: Report) -> list[Tree]:
    sources = [file if isinstance(file, Source) else file_source(file, report) for file in files]
    return [tree_of(source, report) for source in sources if source is not None]
