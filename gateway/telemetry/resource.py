"""Who sends the spans: the OTLP resource, from the environment as OpenTelemetry specifies. No I/O."""

from collections.abc import Mapping
from urllib.parse import unquote

from gateway.model import semconv as sc
from gateway.model.span import Attributes


def resource_attributes(environ: Mapping[str, str], version: str, instance_id: str) -> Attributes:
    """`OTEL_SERVICE_NAME` wins over `OTEL_RESOURCE_ATTRIBUTES`, which wins over our own words.

    No `telemetry.sdk.*`: this is not an OpenTelemetry SDK.
    """
    attributes = {
        sc.SERVICE_NAME: "spangate",
        sc.SERVICE_VERSION: version,
        sc.SERVICE_INSTANCE_ID: instance_id,
    }
    attributes |= key_values(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    service_name = environ.get("OTEL_SERVICE_NAME", "").strip()
    if service_name:
        attributes[sc.SERVICE_NAME] = service_name
    return list(attributes.items())


def key_values(text: str) -> dict[str, str]:
    """`k=v,k2=v2`, percent-encoded: so OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_HEADERS are written."""
    pairs: dict[str, str] = {}
    for member in text.split(","):
        key, separator, value = member.partition("=")
        if separator and key.strip():
            pairs[unquote(key.strip())] = unquote(value.strip())
    return pairs
