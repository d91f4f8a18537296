"""Builds every span, content included, and throws it away: for measuring what export costs. Sends nothing."""

from collections.abc import Mapping

from gateway.exporters.settings import CaptureConfig
from gateway.model.exchange import Exchange
from gateway.model.span import Span
from gateway.telemetry.encode import content_attributes, encode
from gateway.units import ConfigModel


class NopConfig(ConfigModel):
    capture: CaptureConfig = CaptureConfig(messages="full")


class NopExporter:
    """Implements `Exporter`."""

    def __init__(self, name: str, config: NopConfig, environ: Mapping[str, str]) -> None:
        self.name = name
        self._capture = config.capture.resolved(environ)
        self._spans = 0
        self._bytes = 0
        self._unencodable = 0

    def export(self, exchange: Exchange, span: Span) -> None:
        self.export_tool(span)

    def export_tool(self, span: Span) -> None:
        try:
            data = encode(span) + content_attributes(span, self._capture)
        except Exception:  # the boundary towards the pipeline, as in every exporter; counted
            self._unencodable += 1
            return
        self._spans += 1
        self._bytes += len(data)

    async def start(self) -> None:
        """Nothing to start."""

    async def drain(self, deadline_s: float) -> None:
        """Nothing is kept."""

    def counters(self) -> dict[str, int]:
        return {"accepted": self._spans, "sent": 0, "bytes": self._bytes, "unencodable": self._unencodable}
