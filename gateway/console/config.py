"""`extensions.console` and `extensions.health_check`. Apart from what they start, which takes long to import."""

from gateway.units import ConfigModel, Endpoint


class ConsoleConfig(ConfigModel):
    endpoint: Endpoint = "127.0.0.1:4001"


class HealthCheckConfig(ConfigModel):
    endpoint: Endpoint = "127.0.0.1:13133"
