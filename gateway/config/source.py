"""One YAML text → a tree of plain values, with every doubled key and the line of a syntax error. Keeps no text."""

import re
from pathlib import Path as File
from typing import NamedTuple, cast

import yaml

from gateway.config.schema import Path, Report, Tree, Value

_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_TEXT_TAG = "tag:yaml.org,2002:str"
_MERGE_TAG = "tag:yaml.org,2002:merge"


class Source(NamedTuple):
    """A YAML text and what to call it in an error."""

    name: str
    text: str


def file_source(path: str, report: Report) -> Source | None:
    """The text of a configuration file; None, and an error, where it cannot be read."""
    try:
        return Source(path, File(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        report.error((), f"{path}: no such file; --config takes the path of a YAML file")
    except IsADirectoryError:
        report.error((), f"{path}: is a folder; --config takes the path of a YAML file")
    except UnicodeDecodeError:
        report.error((), f"{path}: is not UTF-8 text; save it as UTF-8")
    except OSError as error:
        report.error((), f"{path}: cannot be read ({error.strerror}); check its permissions")
    return None


def tree_of(source: Source, report: Report) -> Tree:
    """The whole of a configuration file: a map, or nothing."""
    value = value_of(source, report)
    if value is None:
        return {}
    if not isinstance(value, dict):
        report.error((), f"{source.name}: is not a map; begin with receivers:, exporters: and service:")
        return {}
    return value


def value_of(source: Source, report: Report) -> Value:
    """Any YAML value; None, and errors, where it does not hold together."""
    before = len(report.errors)
    try:
        node = yaml.compose(source.text, Loader=yaml.SafeLoader)
        _check(node, (), [], source.name, report)
        if len(report.errors) > before:
            return None
        return cast(Value, yaml.safe_load(source.text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        report.error((), f"{source.name}: {where}{_without_content(error.problem)}; mend the YAML there")
    except yaml.YAMLError:
        report.error((), f"{source.name}: is not YAML; it may hold unprintable characters")
    except (ValueError, RecursionError):
        report.error((), f"{source.name}: has a value that YAML cannot read, such as a date that does not exist")
    return None


def _without_content(problem: str | None) -> str:
    # SECURITY: PyYAML quotes what it stumbled over, which may be a key somebody forgot to quote.
    return _QUOTED.sub(lambda quoted: quoted[0] if len(quoted[0]) == 3 else "…", problem or "is not YAML")


def _check(node: yaml.Node | None, path: Path, open_nodes: list[yaml.Node], name: str, report: Report) -> None:
    if isinstance(node, yaml.ScalarNode) or node is None:
        return
    if node in open_nodes:
        report.error(path, f"{name}, line {_line(node)}: contains itself by an alias; write it out")
        return
    open_nodes.append(node)
    if isinstance(node, yaml.MappingNode):
        _check_map(node, path, open_nodes, name, report)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _check(item, (*path, str(index)), open_nodes, name, report)
    open_nodes.pop()


def _check_map(node: yaml.MappingNode, path: Path, open_nodes: list[yaml.Node], name: str, report: Report) -> None:
    lines: dict[str, int] = {}
    for key, value in node.value:
        written = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
        if key.tag not in (_TEXT_TAG, _MERGE_TAG):
            report.error((*path, written), f"{name}, line {_line(key)}: this key is not text to YAML; put it in quotes")
        elif written in lines and key.tag == _TEXT_TAG:
            earlier = lines[written]
            report.error(
                (*path, written), f"{name}, line {_line(key)}: stands there twice, first in line {earlier}; keep one"
            )
        lines.setdefault(written, _line(key))
        _check(value, (*path, written), open_nodes, name, report)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
