"""The types users write in YAML: durations, sizes, endpoints, secrets. Pydantic types; no I/O."""

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|KB|MB|GB)?")
_SIZE_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


class ConfigModel(BaseModel):
    """What a user wrote: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, written: Any) -> Any:
        """`console:` with nothing behind it means its defaults, as in the Collector; so does a key without a value."""
        if written is None:
            return {}
        if isinstance(written, dict):
            return {key: value for key, value in written.items() if value is not None or key not in cls.model_fields}
        return written


def seconds(value: object) -> float:
    """Seconds of `300ms`, `1m30s`, `24h`, `30d`; a bare 0 is 0."""
    if value in (0, "0") and not isinstance(value, bool):
        return 0.0
    text = value if isinstance(value, str) else ""
    if not text or _DURATION.sub("", text) != "":
        raise ValueError(f"{value!r} is not a duration; write one such as 300ms, 45s, 1m30s, 24h or 30d")
    return sum(float(number) * _DURATION_S[unit] for number, unit in _DURATION.findall(text))


def size_bytes(value: object) -> int:
    """Bytes of `64KiB`, `10MiB`, `1GB` or a bare number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a size; write one such as 64KiB, 10MiB or 1GB")
    return int(float(match[1]) * _SIZE_BYTES[match[2] or "B"])


def _checked_endpoint(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{value!r} is not an endpoint; write host:port, such as 127.0.0.1:4000")
    return value


def host_port(endpoint: str) -> tuple[str, int]:
    """`127.0.0.1:4000` → ("127.0.0.1", 4000); `[::1]:4000` → ("::1", 4000)."""
    host, _, port = endpoint.rpartition(":")
    return host.strip("[]"), int(port)


_AS_TEXT = WithJsonSchema({"type": "string", "pattern": rf"^({_DURATION.pattern})+$"})
Duration = Annotated[float, BeforeValidator(seconds), _AS_TEXT]
"""Written `45s`, kept as seconds."""
PositiveDuration = Annotated[float, BeforeValidator(seconds), Field(gt=0), _AS_TEXT]
"""A duration that must not be 0."""
Size = Annotated[int, BeforeValidator(size_bytes)]
"""Written `64KiB`, kept as bytes."""
Endpoint = Annotated[str, AfterValidator(_checked_endpoint)]
"""`host:port`."""
Secret = SecretStr
"""Does not print itself; `.get_secret_value()` where it is used."""
