"""The composition root: from a configuration to a running worker. The one place that knows everyone."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence

import structlog

from gateway import __version__
from gateway.config.schema import Config
from gateway.console.config import ConsoleConfig, HealthCheckConfig
from gateway.console.serving import opened_url
from gateway.contracts import Exporter, Processor
from gateway.control import ControlSettings, run_control_plane
from gateway.exporters.debug import DebugConfig, DebugExporter
from gateway.exporters.nop import NopConfig, NopExporter
from gateway.exporters.otlp_http import OtlpHttpConfig, OtlpHttpExporter
from gateway.exporters.store import StoreConfig, StoreExporter
from gateway.link.uplink import Uplink
from gateway.model.exchange import Exchange
from gateway.model.message import RequestReading
from gateway.pipeline import Pipeline
from gateway.policy.current import CurrentPolicies
from gateway.policy.engine import PolicySet
from gateway.policy.files import PolicyFiles
from gateway.policy.redaction import CleanWords, redacted
from gateway.policy.workspaces import Workspaces
from gateway.process import usable_cores
from gateway.processors.cost import CostConfig, CostProcessor
from gateway.processors.policy import PolicyConfig, PolicyProcessor, policies_of
from gateway.processors.policy_reload import PolicyReload
from gateway.processors.session import SessionConfig, SessionProcessor
from gateway.processors.threads import Waiting
from gateway.providers.built_in import formats, sockets
from gateway.providers.known import KnownMessageCache
from gateway.proxy.limits import Limits
from gateway.proxy.server import ProxyServer
from gateway.receivers.llm import LlmReceiver
from gateway.receivers.llm_config import LlmConfig
from gateway.review.desk import ReviewDesk
from gateway.state.config import SessionStateConfig
from gateway.state.opening import principals_secret, session_state
from gateway.store.config import StorageConfig
from gateway.telemetry.encode import encode_resource, upb_in_use
from gateway.telemetry.resource import resource_attributes
from gateway.units import ConfigModel, host_port

_log = structlog.get_logger("gateway.worker")

_EXPORT_DRAIN_S = 5.0
_SWEEP_EVERY_S = 1.0


class Worker:
    """One worker: proxy, pipeline and exporters on one loop."""

    def __init__(self, config: Config, control_path: str, environ: Mapping[str, str]) -> None:
        self._config = config
        self.llm = llm_config(config)
        pipeline = config.service.pipelines["traces"]
        files = PolicyFiles(policy.files) if (policy := _policy(config)) is not None else None
        policies = CurrentPolicies(_policies(config))
        self._uplink = Uplink(control_path, f"worker-{os.getpid()}")
        desk = ReviewDesk(self._uplink)
        self._uplink.on_decided = desk.decided
        self.exporters = [
            _exporter(name, config.exporters[name], config, policies, self._uplink, environ)
            for name in pipeline.exporters
        ]
        providers = formats()
        self.processors = {
            name: _processor(config.processors[name], config, policies.now, desk, self._reading, self._answered)
            for name in pipeline.processors
        }
        self._known = KnownMessageCache()
        self.reloads = [
            PolicyReload(policy, workspaces_of(config), files, judging, policies, self._policies_taken)
            for judging in self.processors.values()
            if isinstance(judging, PolicyProcessor) and policy is not None and files is not None
        ]
        self._sessions = [found for found in self.processors.values() if isinstance(found, SessionProcessor)]
        self.pipeline = Pipeline(
            [*self.processors.values()],
            self.exporters,
            {provider.name: provider for provider in providers},
            self._known,
        )
        self.receiver = LlmReceiver(self.llm, self.pipeline, providers, environ, sockets())

    def _policies_taken(self) -> None:
        self.pipeline.look_again()

    def _reading(self, exchange: Exchange) -> RequestReading | None:
        return self.pipeline.reading(exchange)

    def _answered(self, exchange: Exchange, at_most: int) -> Sequence[Exchange]:
        return self.pipeline.answered(exchange, at_most)

    async def run(self, listening: socket.socket, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until `stop`, then drain: exchanges first, then their spans, then the queues."""
        if not upb_in_use():
            _log.warning("protobuf runs without upb, many times slower; install a protobuf wheel for this platform")
        for exporter in self.exporters:
            await exporter.start()
        for sessions in self._sessions:
            await sessions.start()
        if has_control_plane(self._config) and not stores(self._config):
            self._uplink.start()  # nothing to send, but the health check must know who is there
        server = ProxyServer(self.receiver, limits_of(self.llm))
        await server.listen(listening, self.llm.tls.context() if self.llm.tls is not None else None)
        beside = [asyncio.create_task(self._sweep(), name="sweep")]
        for reload in self.reloads:
            beside.append(asyncio.create_task(reload.run(), name="policy reload"))
            if hasattr(signal, "SIGHUP"):
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.ask)
        ready()
        await stop.wait()
        cut = await server.drain(self.llm.drain)
        if cut:
            _log.warning("running exchanges were cut at the deadline", exchanges=cut, after_s=self.llm.drain)
        self.pipeline.drain()
        await asyncio.gather(*(exporter.drain(_EXPORT_DRAIN_S) for exporter in self.exporters))
        await self._uplink.drain(0)
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
        totals = self.totals()
        for sessions in self._sessions:
            await sessions.stop()
        _log.info("worker stopped", **totals, llm=server.counters())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            for sessions in self._sessions:
                sessions.sweep()
                self._uplink.say_trouble(sessions.trouble or "")

    def totals(self) -> dict[str, int | dict[str, int]]:
        """What went through, what was dropped, what failed: by component."""
        totals: dict[str, int | dict[str, int]] = dict(self.pipeline.counters)
        totals.update({f"failures.{where}": count for where, count in self.pipeline.failures.items()})
        totals["known_messages"] = self._known.counters()
        totals.update({name: processor.counters() for name, processor in self.processors.items()})
        for reload in self.reloads:
            totals["policy_files"] = dict(reload.counters)
        totals.update({exporter.name: exporter.counters() for exporter in self.exporters})
        return totals


async def run_worker(
    config: Config, listen_fd: int, control_path: str, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """A worker process' main."""
    listening = socket.socket(fileno=listen_fd)
    listening.setblocking(False)
    await Worker(config, control_path, os.environ).run(listening, stop, ready)


async def run_control(config: Config, socket_fd: int, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """The control plane process' main."""
    llm = llm_config(config)
    settings = ControlSettings(
        (config.extension(StorageConfig) or StorageConfig())
        if stores(config) or config.extension(ConsoleConfig)
        else None,
        config.extension(ConsoleConfig),
        config.extension(HealthCheckConfig),
        workers=worker_count(config),
        gateway_url=opened_url(llm.endpoint, llm.tls is not None),
        close_after_s=_session_config(config).close_after,
        workers_s=llm.drain + 2 * _EXPORT_DRAIN_S,
    )
    await run_control_plane(settings, socket_fd, ready, stop)


def llm_config(config: Config) -> LlmConfig:
    """Of the receiver in the pipeline, the one of this version."""
    found = config.receivers[receiver_id(config)]
    assert isinstance(found, LlmConfig)
    return found


def receiver_id(config: Config) -> str:
    [name] = dict.fromkeys(config.service.pipelines["traces"].receivers)
    return name


def _session_config(config: Config) -> SessionConfig:
    """Of the session processor in the pipeline; without one, its defaults."""
    written = [config.processors[name] for name in config.service.pipelines["traces"].processors]
    return next((found for found in written if isinstance(found, SessionConfig)), None) or SessionConfig()


def worker_count(config: Config) -> int:
    workers = config.service.workers
    return usable_cores() if workers == "auto" else workers


def worker_name(number: int, count: int) -> str:
    """For people: which of several workers, 1 being the first."""
    return f"worker {number}" if count > 1 else "worker"


def stores(config: Config) -> bool:
    return any(isinstance(config.exporters[name], StoreConfig) for name in config.service.pipelines["traces"].exporters)


def has_control_plane(config: Config) -> bool:
    """Its parts are the store, the pages and the health check; a gateway without them is workers alone."""
    return stores(config) or any(config.extension(served) is not None for served in (ConsoleConfig, HealthCheckConfig))


def listen_address(config: Config) -> tuple[str, int]:
    return host_port(llm_config(config).endpoint)


def limits_of(llm: LlmConfig) -> Limits:
    timeouts = llm.timeouts
    return Limits(
        header=llm.max_header,
        body=llm.max_body,
        capture=llm.capture_max,
        unfinished=llm.max_unfinished,
        connections=llm.max_connections,
        header_s=timeouts.header,
        request_s=timeouts.request,
        keep_alive_s=timeouts.keep_alive,
        write_s=timeouts.write,
        connect_s=timeouts.connect,
        first_byte_s=timeouts.first_byte,
        idle_s=timeouts.idle,
        websocket_idle_s=timeouts.websocket,
    )


def _policy(config: Config) -> PolicyConfig | None:
    """Of the policy processor in the pipeline, if there is one."""
    written = [config.processors[name] for name in config.service.pipelines["traces"].processors]
    return next((found for found in written if isinstance(found, PolicyConfig)), None)


def workspaces_of(config: Config) -> Workspaces:
    return {name: workspace.agents for name, workspace in config.workspaces.items()}


def _policies(config: Config) -> PolicySet:
    """The agents of the policy processor in the pipeline; without one, the built-in sensitive patterns alone."""
    policy = _policy(config)
    return policies_of(policy, workspaces_of(config)) if policy is not None else PolicySet(())


def _processor(
    written: ConfigModel,
    config: Config,
    policies: PolicySet,
    desk: ReviewDesk,
    reading: Callable[[Exchange], RequestReading | None],
    answered: Waiting,
) -> Processor:
    if isinstance(written, SessionConfig):
        kept = config.extension(SessionStateConfig) or SessionStateConfig()
        secret = principals_secret(kept)
        state = session_state(kept, secret, written.window, written.close_after, worker_count(config))
        return SessionProcessor(written, state, reading, secret, answered)
    if isinstance(written, PolicyConfig):
        return PolicyProcessor(written, policies, desk)
    if isinstance(written, CostConfig):
        return CostProcessor(written)
    raise TypeError(type(written).__name__)


def _exporter(
    name: str,
    written: ConfigModel,
    config: Config,
    policies: CurrentPolicies,
    uplink: Uplink,
    environ: Mapping[str, str],
) -> Exporter:
    if isinstance(written, OtlpHttpConfig):
        attributes = resource_attributes(environ, __version__, f"{socket.gethostname()}:{os.getpid()}")
        return OtlpHttpExporter(name, written, encode_resource(attributes), environ)
    if isinstance(written, StoreConfig):
        storage = config.extension(StorageConfig) or StorageConfig()
        return StoreExporter(
            name,
            uplink,
            storage.content,
            lambda entry: redacted(entry, policies),
            CleanWords(policies),
        )
    if isinstance(written, NopConfig):
        return NopExporter(name, written, environ)
    if isinstance(written, DebugConfig):
        return DebugExporter(name, written)
    raise TypeError(type(written).__name__)
