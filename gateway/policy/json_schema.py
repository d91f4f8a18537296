"""The language of policy files as JSON Schema, for editors: completion, help on hover, and most mistakes while typing.

Made of the models that read the files, so that it cannot say anything else. It knows less than they do: CEL, regular
expressions and what goes together are checked when a file is read.
"""

import ast
import inspect
from collections.abc import Iterator, Mapping
from textwrap import dedent
from typing import Any

from pydantic import BaseModel

from gateway.policy.facts import FACTS, Kind
from gateway.policy.schema import AgentFile

Schema = dict[str, Any]

_KINDS: Mapping[Kind, Schema] = {
    "string": {"type": "string"},
    "int": {"type": "integer"},
    "double": {"type": "number"},
    "bool": {"type": "boolean"},
    "timestamp": {"type": "string", "format": "date-time"},
    "strings": {"type": "array", "items": {"type": "string"}},
    "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
    "times": {"type": "object", "additionalProperties": {"type": "string", "format": "date-time"}},
}


def policy_schema() -> Schema:
    """Draft 2020-12."""
    made = AgentFile.model_json_schema()
    described = {model.__name__: _docstrings(model) for model in _models(AgentFile)}
    for name, definition in {**made["$defs"], AgentFile.__name__: made}.items():
        for field, schema in definition.get("properties", {}).items():
            if (about := described.get(name, {}).get(field)) is not None:
                schema["description"] = about
    made["$defs"]["Case"]["properties"]["given"].update(
        {
            "additionalProperties": False,
            "properties": {name: {**_KINDS[fact.kind], "description": fact.about} for name, fact in FACTS.items()},
        }
    )
    clean: Schema = _as_written(made)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **clean, "title": "A policy agent of spangate"}


def _as_written(schema: Any) -> Any:
    """Without what only pydantic needs; and where a list of words is wanted, one alone will do."""
    if isinstance(schema, list):
        return [_as_written(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    clean = {key: _as_written(value) for key, value in schema.items() if not _noise(key, value)}
    if clean.get("type") == "array" and clean.get("items", {}).get("type") == "string":
        about = {"description": clean.pop("description")} if "description" in clean else {}
        clean.pop("default", None)
        return {**about, "anyOf": [clean["items"], clean]}
    if len(options := clean.get("anyOf", [])) > 1 and {"type": "null"} in options:
        clean["anyOf"] = [each for each in options if each != {"type": "null"}]
        if len(clean["anyOf"]) == 1:
            return {**clean.pop("anyOf")[0], **clean}
    return clean


def _noise(key: str, value: object) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value in (None, "", [], {}))


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            yield from _models(inner)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """What stands below a field in its class."""
    [defined] = ast.parse(dedent(inspect.getsource(model))).body
    assert isinstance(defined, ast.ClassDef)
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in zip(defined.body, defined.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
