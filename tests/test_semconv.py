"""Attribute names stand in one place, so that two parts of a span cannot spell one differently."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.model import semconv

GATEWAY = Path(semconv.__file__).parents[1]
NAMES = [value for name, value in vars(semconv).items() if name.isupper()]
_LOOKS_LIKE_ONE = re.compile(r"(?:gen_ai|openai|aws\.bedrock|spangate)\.[a-z_.]+")
NO_NAMES = {"spangate.sounds", "spangate.detectors"}
"""The kind of an event that never leaves the gateway, and an entry point."""


def written_in(file: Path) -> Iterator[str]:
    """All strings in the code of a file, those that explain it left out."""
    tree = ast.parse(file.read_text())
    explaining = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explaining:
            yield node.value


def test_no_name_stands_twice() -> None:
    assert len(NAMES) == len(set(NAMES)) > 80


def test_names_are_written_nowhere_else() -> None:
    found = {
        (file.name, text)
        for file in GATEWAY.rglob("*.py")
        if file != Path(semconv.__file__)
        for text in written_in(file)
        if text in NAMES or _LOOKS_LIKE_ONE.fullmatch(text)
    }
    assert {text for _, text in found} == NO_NAMES, found


def test_every_name_is_in_use() -> None:
    code = "".join(file.read_text() for file in GATEWAY.rglob("*.py") if file.name != "semconv.py")
    names = [name for name in vars(semconv) if name.isupper()]
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []
