"""`extensions.console` and `extensions.health_check`. Apart from what they start, which takes long to import."""

from gateway.tls import ServerTlsConfig
from gateway.units import ConfigModel, Endpoint


class ConsoleConfig(ConfigModel):
    endpoint: Endpoint = "127.0.0.1:4001"
    tls: ServerTlsConfig | None = None
    """Without it browsers and scripts speak plain HTTP."""
    hosts: tuple[str, ...] = ()
    """Names, without a port, that it may be called by where it listens on loopback, beside localhost and addresses."""


class HealthCheckConfig(ConfigModel):
    endpoint: Endpoint = "127.0.0.1:13133"
