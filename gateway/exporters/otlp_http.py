"""Sends spans to any OTLP/HTTP server as protobuf. Retries only what the specification lets it; never logs content.

Rules: opentelemetry-proto, docs/specification.md, "OTLP/HTTP Response", "Failures", "Partial Success".
"""

import asyncio
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from pydantic import AfterValidator, Field, model_validator

import gateway
from gateway.exporters.outbox import Outbox, QueueConfig, Reply
from gateway.exporters.retry import RetryConfig
from gateway.exporters.settings import CaptureConfig, ClientTlsConfig
from gateway.model.exchange import Exchange
from gateway.model.span import Span
from gateway.scheduling import give_way
from gateway.telemetry.encode import content_attributes, encode, splice
from gateway.telemetry.resource import key_values
from gateway.units import ConfigModel, Duration, Secret

_RETRYABLE = frozenset({429, 502, 503, 504})
"""All other 4xx and 5xx must not be retried."""
_LEVEL, _PIECE_BYTES = 1, 32 << 10
"""Six times the time would buy a tenth of the size. A piece takes 0.1 to 0.2 ms."""
_ANSWER_LIMIT = 64 << 10
"""Bytes of an answer worth reading: a partial success is small, and a web page is nothing to us."""


def _checked_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not an http:// or https:// URL; write one such as http://otel-collector:4318")
    return value


Url = Annotated[str, AfterValidator(_checked_url)]


class OtlpHttpConfig(ConfigModel):
    """`exporters.otlp_http`, with the Collector's names."""

    endpoint: Url | None = None
    """Base URL; `/v1/traces` is appended."""
    traces_endpoint: Url | None = None
    """The whole URL, used as it is."""
    headers: dict[str, Secret] = Field(default_factory=dict)
    compression: Literal["gzip", "none"] = "gzip"
    timeout: Duration = Field(default=30.0, gt=0)
    retry_on_failure: RetryConfig = RetryConfig()
    sending_queue: QueueConfig = QueueConfig()
    capture: CaptureConfig = CaptureConfig()
    tls: ClientTlsConfig = ClientTlsConfig()

    @model_validator(mode="after")
    def _some_endpoint(self) -> Self:
        if self.endpoint is None and self.traces_endpoint is None:
            raise ValueError("'endpoint' is missing; write one such as http://otel-collector:4318")
        return self

    @property
    def traces_url(self) -> str:
        return self.traces_endpoint or f"{(self.endpoint or '').rstrip('/')}/v1/traces"


def config_from_env(environ: Mapping[str, str]) -> OtlpHttpConfig | None:
    """What the `OTEL_EXPORTER_OTLP_*` variables say; None where they name no endpoint. Raises ValueError where they
    ask for what is not here (gRPC, JSON) or what is not valid."""

    def variable(name: str) -> str:
        return environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or environ.get(f"OTEL_EXPORTER_OTLP_{name}") or ""

    endpoint = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    traces_endpoint = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or not (endpoint or traces_endpoint):
        return None
    if variable("PROTOCOL") not in ("", "http/protobuf"):
        raise ValueError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL={variable('PROTOCOL')}: set http/protobuf and the endpoint's HTTP port, "
            "mostly 4318"
        )
    written: dict[str, Any] = {"endpoint": endpoint or None, "traces_endpoint": traces_endpoint or None}
    written["headers"] = key_values(variable("HEADERS"))
    if variable("TIMEOUT"):
        written["timeout"] = f"{variable('TIMEOUT')}ms"
    if variable("COMPRESSION"):
        written["compression"] = variable("COMPRESSION")
    files = {"ca_file": "CERTIFICATE", "cert_file": "CLIENT_CERTIFICATE", "key_file": "CLIENT_KEY"}
    written["tls"] = {key: variable(name) for key, name in files.items() if variable(name)}
    return OtlpHttpConfig.model_validate(written)


class OtlpHttpExporter:
    """Implements `Exporter`. `resource` comes from `telemetry.encode.encode_resource`."""

    def __init__(self, name: str, config: OtlpHttpConfig, resource: bytes, environ: Mapping[str, str]) -> None:
        self.name = name
        self._config = config
        self._resource = resource
        self._capture = config.capture.resolved(environ)
        self._outbox = Outbox(name, self._send, config.sending_queue, config.retry_on_failure)
        self._session: aiohttp.ClientSession | None = None
        self._unencodable = 0

    def export(self, exchange: Exchange, span: Span) -> None:
        self.export_tool(span)

    def export_tool(self, span: Span) -> None:
        try:
            core = encode(span)
            data = core + content_attributes(span, self._capture)
        except Exception:
            # The boundary towards the pipeline: a processor may have put anything into the span. Counted.
            self._unencodable += 1
            return
        self._outbox.put(data, len(core))

    async def start(self) -> None:
        """Raises OSError where a TLS file cannot be read."""
        tls = await asyncio.to_thread(self._config.tls.context)
        consumers = self._config.sending_queue.num_consumers
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=consumers, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=self._config.timeout),
            headers=self._headers(),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        await self._outbox.start()

    async def drain(self, deadline_s: float) -> None:
        try:
            await self._outbox.drain(deadline_s)
        finally:
            if self._session is not None:
                await self._session.close()

    def counters(self) -> dict[str, int]:
        return {**asdict(self._outbox.counters), "unencodable": self._unencodable}

    def _headers(self) -> dict[str, str]:
        headers = {name: value.get_secret_value() for name, value in self._config.headers.items()}
        headers["User-Agent"] = f"spangate/{gateway.__version__}"
        headers["Content-Type"] = "application/x-protobuf"
        if self._config.compression == "gzip":
            headers["Content-Encoding"] = "gzip"
        return headers

    async def _send(self, spans: Sequence[bytes]) -> Reply:
        """One request. What goes wrong on the way is a Reply, not an exception."""
        assert self._session is not None, "started"
        body = await asyncio.to_thread(_body, self._resource, spans, self._config.compression)
        try:
            # A redirect would carry the headers, keys among them, to a server nobody configured.
            async with self._session.post(self._config.traces_url, data=body, allow_redirects=False) as answer:
                return await _reply(answer)
        except TimeoutError:
            return Reply("retry", "timeout")
        except aiohttp.InvalidURL:
            return Reply("refused", "invalid_url")
        except (aiohttp.ClientError, OSError) as error:
            return Reply("retry", type(error).__name__)


def _body(resource: bytes, spans: Sequence[bytes], compression: str) -> bytes:
    """In a thread: zlib lets go of the interpreter, and between pieces of the core."""
    request = splice(resource, spans)
    return _gzipped(request) if compression == "gzip" else request


def _gzipped(data: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, wbits=31)
    pieces = []
    for start in range(0, len(data), _PIECE_BYTES):
        pieces.append(compressor.compress(memoryview(data)[start : start + _PIECE_BYTES]))
        give_way()
    return b"".join([*pieces, compressor.flush()])


async def _reply(answer: aiohttp.ClientResponse) -> Reply:
    status = answer.status
    if status in _RETRYABLE:
        return Reply("retry", f"http_{status}", retry_after_s=retry_after_s(answer.headers.get("Retry-After")))
    if status == 413:
        return Reply("too_large", "http_413")
    if not 200 <= status < 300:
        return Reply("refused", f"http_{status}")
    if answer.content_type == "text/html":
        # A web page says 200 to anything: the endpoint is a console or a login, not an OTLP server.
        return Reply("refused", "answered_with_html")
    return Reply("sent", rejected=_rejected(await answer.content.read(_ANSWER_LIMIT), answer.content_type))


def _rejected(body: bytes, content_type: str) -> int:
    """Spans the server did not take, by its partial success; an answer that is none rejected nothing."""
    if content_type == "application/json":
        return _rejected_json(body)
    if not body or content_type != "application/x-protobuf":
        return 0
    try:
        return int(ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
    except DecodeError:
        return 0


class _JsonPartialSuccess(msgspec.Struct, rename="camel"):
    rejected_spans: int = 0


class _JsonAnswer(msgspec.Struct, rename="camel"):
    partial_success: _JsonPartialSuccess | None = None


def _rejected_json(body: bytes) -> int:
    try:
        # OTLP's JSON writes 64-bit integers as strings.
        answer = msgspec.json.decode(body, type=_JsonAnswer, strict=False)
    except msgspec.DecodeError:
        return 0
    return answer.partial_success.rejected_spans if answer.partial_success is not None else 0


def retry_after_s(value: str | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Seconds of a Retry-After header, written in seconds or as a date; None where it says neither."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}\s*", value, re.ASCII):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now()).total_seconds())
