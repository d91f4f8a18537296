"""What pydantic says about a value → a sentence for the person who wrote it. Never shows the value of a secret."""

from typing import Any, get_args

from pydantic_core import ErrorDetails

from gateway.config.schema import Path, choices
from gateway.units import ConfigModel

_SHAPES = {
    "model_type": "is not a map; write its settings below it, each as key: value",
    "model_attributes_type": "is not a map; write its settings below it, each as key: value",
    "dict_type": "is not a map; write entries below it, each as name: value",
    "tuple_type": "is not a list; write [first, second]",
    "list_type": "is not a list; write [first, second]",
    "string_type": "is not text; put it in quotes",
    "int_type": "is not a whole number; write digits only",
    "int_parsing": "is not a whole number; write digits only",
    "int_from_float": "is not a whole number; write digits only",
    "float_type": "is not a number; write digits",
    "float_parsing": "is not a number; write digits",
    "bool_type": "is neither true nor false; write one of them",
    "bool_parsing": "is neither true nor false; write one of them",
    "missing": "is missing; add it",
}
_BOUNDS = {
    "greater_than": "is too small; write more than {gt}",
    "greater_than_equal": "is too small; write {ge} or more",
    "less_than": "is too big; write less than {lt}",
    "less_than_equal": "is too big; write {le} or less",
    "too_short": "has too few entries; write at least {min_length}",
    "too_long": "has too many entries; write at most {max_length}",
    "string_too_short": "is too short; write at least {min_length} characters",
    "string_too_long": "is too long; write at most {max_length} characters",
    "literal_error": "is none of the choices; valid: {expected}",
}


def sentence(detail: ErrorDetails, model: type[ConfigModel]) -> tuple[Path, str]:
    """Where below the model, and what is wrong there with its remedy."""
    path = tuple(str(step) for step in detail["loc"] if step != "[key]")
    kind = detail["type"]
    if kind == "extra_forbidden":
        valid = _keys_at(model, path[:-1])
        return path, f"unknown key; {choices(path[-1], valid)}" if valid else "unknown key; leave it out"
    if kind in _SHAPES:
        return path, _SHAPES[kind]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind in _BOUNDS:
        return path, _BOUNDS[kind].format(**context)
    if kind == "value_error":
        return path, str(context.get("error", "")) or "is not valid"
    return path, detail["msg"][:1].lower() + detail["msg"][1:]


def _keys_at(model: type[ConfigModel], path: Path) -> list[str]:
    """The keys that may stand at `path` below `model`; empty where that cannot be told."""
    within: Any = model
    for step in path:
        if _is_model(within):
            field = within.model_fields.get(step)
            within = field.annotation if field else None
        else:  # an entry of a map or a list: its type is the last argument (dict[str, X], tuple[X, ...])
            arguments = [argument for argument in get_args(within) if argument is not Ellipsis]
            within = arguments[-1] if arguments else None
        within = _without_none(within)
    return list(within.model_fields) if _is_model(within) else []


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, ConfigModel)


def _without_none(annotation: Any) -> Any:
    arguments = get_args(annotation)
    if type(None) not in arguments:
        return annotation
    models = [argument for argument in arguments if _is_model(argument)]
    return models[0] if models else annotation
