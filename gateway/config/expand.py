"""`${env:X}`, `${env:X:-default}`, `${X}`, `${file:path}` and `$$` inside a configuration's values.

What comes from outside stays text, and the field's own type reads it: `0123` stays text in a text field and is a
number in a number's. Where a whole value comes from outside, `[…]` and `{…}` are read as YAML, and a file that holds a
map or a list becomes that map or list. Keys are not expanded.
"""

import re
from collections.abc import Mapping
from pathlib import Path as File

from gateway.config.schema import Path, Report, Tree, Value
from gateway.config.source import Source, value_of

_REFERENCE = re.compile(r"\$\$|\$\{([^{}]*)\}")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SECRET_KEYS = frozenset({"api_key"})
_DEEPEST = 10
"""Files that name files."""


class Expansion:
    """Expands one configuration; remembers what came from where, so that an error can name it and not show it."""

    def __init__(self, environment: Mapping[str, str], report: Report) -> None:
        self._environment = environment
        self._report = report
        self._origins: dict[str, str] = {}

    def expanded(self, tree: Tree) -> Tree:
        return {key: self._value(value, (key,), 0) for key, value in tree.items()}

    def hidden(self, text: str) -> str:
        """`text` with whatever came from outside replaced by the reference that brought it."""
        for value in sorted(self._origins, key=len, reverse=True):
            text = text.replace(value, self._origins[value])
        return text

    def _value(self, value: Value, path: Path, depth: int) -> Value:
        if isinstance(value, dict):
            return {key: self._value(item, (*path, key), depth) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, (*path, str(index)), depth) for index, item in enumerate(value)]
        if isinstance(value, str) and "$" in value:
            return self._text(value, path, depth)
        return value

    def _text(self, text: str, path: Path, depth: int) -> Value:
        whole = _REFERENCE.fullmatch(text)
        if whole and whole[1] is not None:
            return self._structured(self._referred(whole[1], path), whole[1], path, depth)
        return _REFERENCE.sub(lambda match: "$" if match[1] is None else self._referred(match[1], path) or "", text)

    def _structured(self, found: str | None, reference: str, path: Path, depth: int) -> Value:
        if found is None or not (reference.startswith("file:") or found.lstrip()[:1] in ("[", "{")):
            return found
        if depth >= _DEEPEST:
            self._report.error(
                path, f"${{{reference}}} leads through more than {_DEEPEST} files; does one name itself?"
            )
            return None
        # Text that only looks like YAML (a key that begins with a brace) is no mistake: its errors are not ours.
        value = value_of(Source(f"${{{reference}}}", found), Report())
        return self._value(value, path, depth + 1) if isinstance(value, dict | list) else found

    def _referred(self, reference: str, path: Path) -> str | None:
        scheme, separator, rest = reference.partition(":")
        if separator and scheme == "file":
            found = self._file(rest, path)
        elif not separator or scheme == "env":
            found = self._variable(rest if separator else scheme, path)
        elif _NAME.fullmatch(scheme) and rest.startswith("-"):
            found = self._variable(reference, path)
        else:
            self._report.error(path, f"${{{scheme}:…}} is not a known source; write ${{env:NAME}} or ${{file:path}}")
            return None
        # Short values would be found in every sentence.
        if found is not None and len(found) >= 6:
            self._origins[found] = f"${{{reference.partition(':-')[0]}}}"
        return found

    def _variable(self, written: str, path: Path) -> str | None:
        name, has_default, default = written.partition(":-")
        if not _NAME.fullmatch(name):
            self._report.error(path, f"${{{name}}} is not the name of an environment variable; letters, digits and _")
            return None
        found = self._environment.get(name) or default
        if not found and not has_default:
            self._unset(name, path)
        return found or None

    def _unset(self, name: str, path: Path) -> None:
        if path[-1] in _SECRET_KEYS:
            self._report.error(path, f"environment variable {name} is not set or empty; set it, or leave this key out")
        else:
            self._report.warn(
                path, f"environment variable {name} is not set or empty; ${{env:{name}:-…}} gives a default"
            )

    def _file(self, name: str, path: Path) -> str | None:
        try:
            return File(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            self._report.error(
                path, f"${{file:{name}}} cannot be read ({why}); paths are relative to the working directory"
            )
            return None
