"""The resource follows the environment as OpenTelemetry specifies."""

import pytest

from gateway.telemetry.resource import key_values, resource_attributes


@pytest.mark.parametrize(
    ("environ", "extra"),
    [
        ({}, {"service.name": "spangate"}),
        ({"OTEL_SERVICE_NAME": "edge"}, {"service.name": "edge"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,team=x%20y"}, {"service.name": "a", "team": "x y"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "b"}, {"service.name": "b"}),
    ],
)
def test_resource_of_an_environment(environ: dict[str, str], extra: dict[str, str]) -> None:
    seen = dict(resource_attributes(environ, "1.2", "host-7"))
    assert seen == {"service.version": "1.2", "service.instance.id": "host-7", **extra}


@pytest.mark.parametrize(
    ("text", "pairs"),
    [("", {}), ("a=1, b = 2 ,c", {"a": "1", "b": "2"}), ("k=a=b%2C", {"k": "a=b,"}), (",=x,", {})],
)
def test_key_values_of_a_variable(text: str, pairs: dict[str, str]) -> None:
    assert key_values(text) == pairs
