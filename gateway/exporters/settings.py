"""What a user may set of every exporter that sends spans away: how much content, and how to trust the server."""

import ssl
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from gateway.telemetry.capture import MESSAGE_CONTENT_VARIABLE, Capture, messages_from_environment
from gateway.units import ConfigModel, Size


class CaptureConfig(ConfigModel):
    """Left out, `messages` follows the environment; where that is silent too, no content leaves."""

    messages: Literal["full", "new", "none"] | None = None
    limit: Size = Field(default=1 << 20, gt=0, le=4 << 20)
    """For one attribute. With four of them a span stays below the 20 MiB that OTLP recommends for a request."""

    openinference: bool = False
    """Where messages leave: what was asked last and the answer also as `input.value` and `output.value`."""

    def resolved(self, environ: Mapping[str, str]) -> Capture:
        messages = self.messages or messages_from_environment(environ.get(MESSAGE_CONTENT_VARIABLE))
        return Capture(messages, self.limit, self.openinference)


class ClientTlsConfig(ConfigModel):
    insecure_skip_verify: bool = False
    ca_file: str | None = None
    """Trusted instead of the system's authorities."""
    cert_file: str | None = None
    key_file: str | None = None

    @model_validator(mode="after")
    def _key_with_certificate(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("'cert_file' and 'key_file' go together; write both or neither")
        return self

    def context(self) -> ssl.SSLContext:
        """Reads the files: OSError or ssl.SSLError where they are missing or no certificates."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context
