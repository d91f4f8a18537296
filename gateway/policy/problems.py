"""What is wrong with a policy file, in our words: each mistake with its path and a remedy."""

import difflib
from collections.abc import Iterator, Mapping
from typing import cast, get_args

from pydantic_core import ErrorDetails

from gateway.units import ConfigModel

Problem = tuple[tuple[str, ...], str]
"""Path, and what is wrong there with its remedy."""


def problems_of(error: ErrorDetails, model: type[ConfigModel]) -> Iterator[Problem]:
    """A pydantic error of this model in our words: path and remedy; never the value that was written."""
    path = tuple(str(step) for step in error["loc"])
    context = error.get("ctx", {})
    match error["type"]:
        case "lines":
            lines = cast(list[Problem], context["lines"])
            # A validator of the whole file's gives whole paths; one within `detect` those below its own.
            yield from (((*path, *below) if path[:1] == ("detect",) else below, remedy) for below, remedy in lines)
        case "missing":
            yield path, "is missing; add it"
        case "extra_forbidden":
            yield path, f"is not a known key; {suggestion(path[-1], _known_keys(path, model))}"
        case "value_error":
            yield path, str(context["error"])
        case "literal_error":
            yield path, f"must be {context['expected']}"
        case "string_type":
            yield path, "must be text; put it in quotes"
        case _:
            yield path, f"{error['msg'][:1].lower()}{error['msg'][1:]}; see the policy files' section of the README"


def _known_keys(path: tuple[str, ...], model: type[ConfigModel]) -> Mapping[str, object]:
    """Of the model that the last step of the path is a key of."""
    found: object = model
    for step in path[:-1]:
        # Other steps are names that the user gave, and places in lists.
        if isinstance(found, type) and issubclass(found, ConfigModel) and step in found.model_fields:
            found = _model_in(found.model_fields[step].annotation)
    return found.model_fields if isinstance(found, type) and issubclass(found, ConfigModel) else {}


def _model_in(annotation: object) -> type[ConfigModel] | None:
    """The first one in `dict[str, Model]`, `tuple[Model, ...]`, `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner)) is not None), None)


def suggestion(written: str, names: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(written, names, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"use one of {', '.join(sorted(names))}"
