"""The configuration of a gateway that was started without one. Reads the environment; looks for policy files."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr, ValidationError

from gateway.config.schema import ConfigErrors
from gateway.config.source import Source

_TEXT = """\
extensions:
  health_check: {endpoint: 127.0.0.1:13133}
  console: {endpoint: 127.0.0.1:4001}
  storage: {url: "sqlite:///./data/spangate.db", retention: 30d, content: redacted}
  session_state: {url: "lmdb:./data/state"}

receivers:
  llm: {endpoint: 127.0.0.1:4000}   # the built-in providers, with the client's own keys

processors:
  session: {}
  policy: {files: %(policies)s}

exporters:
  store: {}
%(exporters)s
service:
  extensions: [health_check, storage, session_state, console]
  pipelines:
    traces: {receivers: [llm], processors: [session, policy], exporters: [store%(names)s]}
"""
POLICIES = "policies/*.yaml"


def embedded(environment: Mapping[str, str], folder: Path | None = None) -> Source:
    """What `spangate run` runs without `--config`.

    The agents of `policies/*.yaml` review where the working directory (`folder`) has any, as a checkout of the
    repository does; an installed package brings none. With `OTEL_EXPORTER_OTLP_ENDPOINT`, or its traces variant, spans
    go there too. Raises `ConfigErrors` where those variables make no sense.
    """
    has_policies = any((folder or Path()).glob(POLICIES))
    otlp = _otlp_http(environment)
    parts = {
        "policies": f"[{POLICIES}]" if has_policies else "[]",
        "exporters": f"  otlp_http: {otlp}\n" if otlp else "",
        "names": ", otlp_http" if otlp else "",
    }
    return Source("the embedded default", _TEXT % parts)


def _otlp_http(environment: Mapping[str, str]) -> str | None:
    """The exporter that the `OTEL_EXPORTER_OTLP_*` variables ask for, as YAML; None where they ask for none."""
    if not any(name.startswith("OTEL_EXPORTER_OTLP_") for name in environment):
        return None
    from gateway.exporters.otlp_http import config_from_env  # only who exports waits for an HTTP client's import

    try:
        found = config_from_env(environment)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        lines = [f"OTEL_EXPORTER_OTLP_*: {'::'.join(map(str, each['loc']))}: {each['msg']}" for each in errors]
        raise ConfigErrors(lines, []) from None  # the cause would show what was written
    except ValueError as error:
        raise ConfigErrors([str(error)], []) from error
    if found is None:
        return None
    # JSON is YAML; a dollar would be taken for a reference.
    return json.dumps(_written(found.model_dump(exclude_unset=True, exclude_none=True))).replace("$", "$$")


def _written(value: object) -> object:
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return f"{value}s" if isinstance(value, float) else value
