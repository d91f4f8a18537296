"""Several configurations into one: later ones win, maps merge, lists are replaced. Pure."""

from collections.abc import Iterable

from gateway.config.schema import Path, Report, Tree, Value
from gateway.config.source import Source, value_of


def merged(trees: Iterable[Tree]) -> Tree:
    """One tree; what a later one says replaces what an earlier one said."""
    whole: Tree = {}
    for tree in trees:
        whole = _over(whole, tree)
    return whole


def _over(below: Tree, above: Tree) -> Tree:
    result = dict(below)
    for key, value in above.items():
        known = result.get(key)
        result[key] = _over(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def override(assignment: str, report: Report) -> Tree:
    """The tree of one `--set processors.session.window=30s`. Keys with a dot in them are joined by `::` instead."""
    path_text, separator, text = assignment.partition("=")
    path = _split(path_text)
    if not separator or not all(path):
        report.error((), f"--set {path_text}: is not path=value; write one such as processors.session.window=30s")
        return {}
    value: Value = value_of(Source(f"--set {path_text}", text), report)
    for key in reversed(path):
        value = {key: value}
    return value if isinstance(value, dict) else {}


def _split(path: str) -> Path:
    return tuple(path.split("::" if "::" in path else "."))
