"""Whether components and pipelines fit together: references, in-line processors, loops. Looks for files, opens none."""

from collections import Counter
from collections.abc import Iterator
from glob import glob
from pathlib import Path as File
from urllib.parse import urlsplit

from gateway.config.components import Components
from gateway.config.schema import KINDS, Kind, PipelineConfig, Registry, Report, ServiceConfig, choices, type_of
from gateway.units import ConfigModel, host_port

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound
_DESTINATIONS = ("endpoint", "traces_endpoint")
_PIPELINE_KINDS: tuple[Kind, ...] = ("receivers", "processors", "exporters")


def check_together(components: Components, registry: Registry, report: Report) -> None:
    """Every mistake that no component could see alone."""
    if not components.written["receivers"]:
        report.error(("receivers",), "no receiver is configured; add one, such as llm: {endpoint: 127.0.0.1:4000}")
    _check_listeners(components, report)
    _check_destinations(components, report)
    _check_policy_files(components, report)
    _check_pipelines(components.joints, components, registry, report)
    _check_extensions(components.joints, components, report)
    _check_needs(components.joints, registry, report)
    _warn_of_unused(components.joints, components, report)
    _check_workers(components, report)
    _warn_of_disabled(components, report)
    _warn_of_late_cost(components.joints, report)


def _check_pipelines(service: ServiceConfig, components: Components, registry: Registry, report: Report) -> None:
    if not service.pipelines:
        report.error(("service", "pipelines"), "has no pipeline; add traces: {receivers: […], exporters: […]}")
    for name, pipeline in service.pipelines.items():
        if name != "traces":
            text = "is not possible in this version, which runs one pipeline; name it traces"
            report.error(("service", "pipelines", name), text)
        if len(set(pipeline.receivers)) > 1:
            text = "one receiver is possible in this version; keep one"
            report.error(("service", "pipelines", name, "receivers"), text)
        _check_members(name, pipeline, components, report)
    _check_inline(service, registry, report)


def _check_members(name: str, pipeline: PipelineConfig, components: Components, report: Report) -> None:
    for kind in _PIPELINE_KINDS:
        path = ("service", "pipelines", name, kind)
        members = pipeline.of(kind)
        if not members and kind != "processors":
            report.error(path, f"is empty; name at least one of the {kind}")
        for member, times in Counter(members).items():
            if member not in components.written[kind]:
                configured = choices(member, components.written[kind])
                report.error(path, f'references {kind[:-1]} "{member}" which is not configured; {configured}')
            if times > 1:
                report.error(path, f'names "{member}" {times} times; name it once')


def _check_inline(service: ServiceConfig, registry: Registry, report: Report) -> None:
    """`session` and `policy` make a client wait and change what it gets: that can happen once only."""
    seen: dict[tuple[str, str], str] = {}
    for name, pipeline in service.pipelines.items():
        inline = Counter(type_of(member) for member in set(pipeline.processors) if _inline(member, registry))
        for processor in (processor for processor, times in inline.items() if times > 1):
            text = f'"{processor}" runs in line {inline[processor]} times; keep one of them'
            report.error(("service", "pipelines", name, "processors"), text)
        for receiver in dict.fromkeys(pipeline.receivers):
            for processor in sorted(inline):
                earlier = seen.setdefault((receiver, processor), name)
                if earlier != name:
                    text = (
                        f'"{processor}" runs in line for receiver "{receiver}" in {earlier} too; '
                        "keep it in one pipeline of each receiver"
                    )
                    report.error(("service", "pipelines", name, "processors"), text)


def _inline(member: str, registry: Registry) -> bool:
    known = registry.get("processors", {}).get(type_of(member))
    return known is not None and known.inline


def _check_extensions(service: ServiceConfig, components: Components, report: Report) -> None:
    path = ("service", "extensions")
    for member, times in Counter(service.extensions).items():
        if member not in components.written["extensions"]:
            configured = choices(member, components.written["extensions"])
            report.error(path, f'references extension "{member}" which is not configured; {configured}')
        if times > 1:
            report.error(path, f'names "{member}" {times} times; name it once')
    for name, times in Counter(type_of(member) for member in set(service.extensions)).items():
        if times > 1:
            report.error(path, f'names {times} extensions of type "{name}", of which one can run; keep one')


def _check_needs(service: ServiceConfig, registry: Registry, report: Report) -> None:
    """Without the extension a component would work on that extension's defaults, which nobody asked for."""
    running = {type_of(member) for member in service.extensions}
    for kind in KINDS:
        for member in dict.fromkeys(_used(service, kind)):
            component = registry.get(kind, {}).get(type_of(member))
            if component is not None and component.needs and component.needs not in running:
                text = f"needs the extension {component.needs}; configure it and name it in service::extensions"
                report.error((kind, member), text)


def _check_workers(components: Components, report: Report) -> None:
    """A session's next call may reach another worker, so all of them must remember the same sessions."""
    service = components.service
    if service is None or service.workers == 1:
        return
    states = [name for name in service.extensions if type_of(name) == "session_state"]
    shared = any(getattr(components.valid["extensions"].get(name), "shared", False) for name in states)
    if not shared and any(type_of(name) == "session" for name in _used(service, "processors")):
        text = (
            "several workers need session state that they share, and memory: is each one's own; "
            "add session_state: {url: lmdb:./data/state} to the extensions, or write 1"
        )
        report.error(("service", "workers"), text)


def _warn_of_late_cost(service: ServiceConfig, report: Report) -> None:
    """Agents that limit cost would see none, and say nothing."""
    for name, pipeline in service.pipelines.items():
        types = [type_of(member) for member in pipeline.processors]
        if "cost" in types and "policy" in types and types.index("cost") > types.index("policy"):
            text = "cost stands behind policy, so that agents do not see what calls cost; write it ahead"
            report.warn(("service", "pipelines", name, "processors"), text)


def _warn_of_disabled(components: Components, report: Report) -> None:
    """SECURITY: a workspace is a label that any client may send."""
    for name, workspace in components.workspaces.items():
        if workspace.agents == "disabled":
            text = f"no policy agent judges there, and whoever sends `x-workspace: {name}` is there; mind who can"
            report.warn(("workspaces", name), text)


def _warn_of_unused(service: ServiceConfig, components: Components, report: Report) -> None:
    for kind, written in components.written.items():
        used = _used(service, kind)
        where = "service::extensions" if kind == "extensions" else "a pipeline"
        for component_id in written:
            if component_id not in used:
                report.warn((kind, component_id), f"is configured but not used; name it in {where} or leave it out")


def _used(service: ServiceConfig, kind: Kind) -> list[str]:
    if kind == "extensions":
        return list(service.extensions)
    return [member for pipeline in service.pipelines.values() for member in pipeline.of(kind)]


def _check_listeners(components: Components, report: Report) -> None:
    taken: dict[tuple[str, int], str] = {}
    for name, (host, port) in _listeners(components):
        earlier = taken.setdefault((host, port), name)
        if earlier != name and port != 0:
            report.error((*name.split("::"), "endpoint"), f"port {port} is taken by {earlier}; choose another")


def _listeners(components: Components) -> Iterator[tuple[str, tuple[str, int]]]:
    kinds: tuple[Kind, ...] = ("receivers", "extensions")
    for kind in kinds:
        for component_id, config in components.valid[kind].items():
            endpoint = getattr(config, "endpoint", None)
            if isinstance(endpoint, str) and ":" in endpoint:
                yield f"{kind}::{component_id}", host_port(endpoint)


def _check_destinations(components: Components, report: Report) -> None:
    """An exporter that sends to ourselves would feed on its own spans."""
    ours = list(_listeners(components))
    for component_id, config in components.valid["exporters"].items():
        for key, host, port in _destinations(config):
            for name, (our_host, our_port) in ours:
                if port == our_port and _same_host(host, our_host):
                    text = f"points at our own {name}; name the collector or store that takes the spans"
                    report.error(("exporters", component_id, key), text)


def _destinations(config: ConfigModel) -> Iterator[tuple[str, str, int]]:
    for key in _DESTINATIONS:
        url = getattr(config, key, None)
        if isinstance(url, str) and url:
            parts = urlsplit(url if "://" in url else f"//{url}")
            yield key, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _same_host(host: str, ours: str) -> bool:
    return host == ours or (host in _LOCAL and ours in _LOCAL)


def _check_policy_files(components: Components, report: Report) -> None:
    for component_id, config in components.valid["processors"].items():
        for index, pattern in enumerate(_files(config)):
            if not any(File(found).is_file() for found in glob(pattern, recursive=True)):
                text = f"{pattern} matches no file in {File.cwd()}; paths are relative to the working directory"
                report.error(("processors", component_id, "files", str(index)), text)


def _files(config: ConfigModel) -> tuple[str, ...]:
    files = getattr(config, "files", ())
    return tuple(str(pattern) for pattern in files) if isinstance(files, tuple | list) else ()
